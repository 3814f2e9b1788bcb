"""UN/LOCODE: UNECE's code list of trade and transport locations, in the edition of the package pyunlocode."""

import re
import sqlite3
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

# What the package stores for a place without a position.
_NO_POSITION: Final = 91
# With fewer positions than this, a country's extent is not reliable.
_MIN_SAMPLE: Final = 20
# Places without a position in the list, here in the list's own notation (DDMM[NS] DDDMM[EW]).
_SUPPLEMENTED: Final = {
    code: position
    for line in """
    AEJEA 2501N 05503E  AUFRE 3203S 11544E  BGVAR 4312N 02755E  CAHAL 4439N 06334W  CAMTR 4530N 07333W
    CAPRR 5419N 13019W  CATOR 4339N 07923W  CAVAN 4917N 12307W  CAWNP 4954N 09708W  CHBSL 4733N 00735E
    CHZRH 4722N 00832E  CNCAN 2306N 11315E  CNCKG 2934N 10635E  CNDLC 3856N 12139E  CNNGB 2952N 12133E
    CNPEK 4005N 11635E  CNSHA 3112N 12120E  CNSZX 2238N 11349E  CNTAO 3604N 12019E  CNTSN 3908N 11711E
    CNXMN 2429N 11805E  COBUN 0353N 07705W  COCTG 1024N 07532W  CZPRG 5005N 01425E  DEBRE 5305N 00848E
    DEBRV 5333N 00835E  DJJIB 1136N 04309E  EGPSD 3116N 03218E  ESALG 3608N 00527W  ESBCN 4123N 00211E
    ESMAD 4025N 00342W  ESVLC 3928N 00022W  FIHEL 6010N 02457E  GBFXT 5157N 00121E  GBLON 5130N 00007W
    GBSOU 5054N 00124W  GHTEM 0538N 00001E  GTPRQ 1355N 09047W  HKHKG 2218N 11410E  IEDUB 5321N 00616W
    INDEL 2839N 07714E  INMUN 2245N 06942E  INNSA 1857N 07257E  ITMIL 4528N 00911E  ITTRS 4538N 01345E
    JMKIN 1758N 07648W  JPNGO 3505N 13653E  KEMBA 0403S 03940E  KENBO 0117S 03649E  KHPNH 1134N 10455E
    KWKWI 2923N 04759E  MAPTM 3553N 00530W  MMRGN 1647N 09610E  MNULN 4755N 10655E  MXMTY 2540N 10019W
    MYKUL 0308N 10142E  NGAPP 0627N 00322E  NGLOS 0627N 00324E  OMSLL 1657N 05400E  PABLB 0857N 07934W
    PECLL 1203S 07709W  PHMNL 1435N 12058E  PKKHI 2451N 06700E  PLGDN 5421N 01839E  QADOH 2517N 05132E
    RUVVO 4307N 13153E  SGSIN 0116N 10350E  SNDKR 1441N 01726W  TNTUN 3648N 01011E  TWKHH 2237N 12017E
    USATL 3345N 08423W  USBOS 4222N 07104W  USCHI 4153N 08738W  USCHS 3247N 07956W  USCMH 3958N 08300W
    USDAL 3247N 09648W  USDEN 3944N 10459W  USDFW 3254N 09702W  USDTW 4213N 08321W  USJAX 3020N 08139W
    USLAX 3403N 11815W  USMEM 3509N 09003W  USMIA 2546N 08012W  USMSY 2957N 09004W  USOAK 3748N 12216W
    USORF 3651N 07617W  USPDX 4531N 12241W  USPHL 3957N 07510W  USPHX 3327N 11204W  USSAV 3205N 08106W
    USSEA 4736N 12220W  USSFO 3747N 12225W  USSLC 4046N 11153W  USTIW 4715N 12226W  USTPA 2757N 08227W
    UYMVD 3454S 05612W  UZTAS 4118N 06915E  VELAG 1036N 06656W  VNHPH 2052N 10641E
    """.splitlines()
    for code, *position in (line.split()[i : i + 3] for i in range(0, len(line.split()), 3))
}
# The country and the place, with the space that the printed list has between them.
_PRINTED: Final = re.compile(r"^([A-Z]{2})\s([A-Z0-9]{3})$", re.UNICODE)
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Locode:
    """One place of the list, named as the list writes it, in decimal degrees (to the minute)."""

    code: str
    name: str
    country: str
    latitude: float | None
    longitude: float | None
    is_port: bool = False
    is_rail_terminal: bool = False
    is_road_terminal: bool = False


def normalize(text: str) -> str:
    """Return a text in capitals, and as a code where it is one as UNECE prints it: `NL RTM` is NLRTM."""
    return _PRINTED.sub(r"\1\2", text.strip().upper())


@lru_cache(maxsize=4096)
def find(code: str) -> Locode | None:
    """Return the place with this five-character code in any case, None where the list has none.

    A position that is missing, impossible or far outside the country is left out: latitude and longitude are None.
    """
    code = code.upper()
    if len(code) != 5 or not code.isascii():
        return None
    rows = _query(
        "SELECT name, latitude, longitude, is_port, is_rail_terminal, is_road_terminal"
        " FROM location WHERE country_code = ? AND location_code = ?",
        (code[:2], code[2:]),
    )
    if not rows:
        return None
    name, latitude, longitude, *functions = rows[0]
    position = _position(code, latitude, longitude)
    return Locode(code, name, code[:2], *(position or (None, None)), *map(bool, functions))


def _position(code: str, latitude: float, longitude: float) -> tuple[float, float] | None:
    if code in _SUPPLEMENTED:
        north, east = _SUPPLEMENTED[code]
        return _parse_degrees(north), _parse_degrees(east)
    position = _decode_position(latitude, longitude)
    return position if position and _is_near_country(code[:2], *position) else None


def _parse_degrees(text: str) -> float:
    """Read the list's notation, DDMM[NS] or DDDMM[EW], as degrees."""
    degrees = int(text[:-3]) + int(text[-3:-1]) / 60
    return round(-degrees if text[-1] in "SW" else degrees, 4)


def _decode_position(latitude: float, longitude: float) -> tuple[float, float] | None:
    """Turn the package's numbers, DDMM / 100 with a sign, into degrees.

    27.29 is 27°29′. None where minutes are above 59 or degrees out of range: errors of the list.
    """
    if latitude == _NO_POSITION or longitude == _NO_POSITION:
        return None
    position = []
    for packed, limit in ((latitude, 90), (longitude, 180)):
        whole, minutes = divmod(round(abs(packed) * 100), 100)
        degrees = round(whole + minutes / 60, 4)
        if minutes > 59 or degrees > limit:
            return None
        position.append(-degrees if packed < 0 else degrees)
    return position[0], position[1]


def _is_near_country(country: str, latitude: float, longitude: float) -> bool:
    """Tell whether a place lies near most others of its country.

    About 300 of 92,700 do not: errors of the list, such as east for west or degrees for minutes.
    """
    extent = _country_extent(country)
    if extent is None:
        return True
    (middle_lat, reach_lat), (middle_lon, reach_lon) = extent
    east = (longitude - middle_lon + 180) % 360 - 180
    return abs(latitude - middle_lat) <= reach_lat and abs(east) <= reach_lon


@cache
def _country_extent(country: str) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return median and reach, in degrees, of a country's latitudes and longitudes; None for too few places."""
    rows = _query("SELECT latitude, longitude FROM location WHERE country_code = ?", (country,))
    positions = [position for row in rows if (position := _decode_position(*row))]
    if len(positions) < _MIN_SAMPLE:
        return None
    return _median_and_reach([place[0] for place in positions]), _median_and_reach(
        [place[1] for place in positions]
    )


def _median_and_reach(degrees: Sequence[float]) -> tuple[float, float]:
    """Return the median, and as reach twice the width between the 5th and 95th percentile plus 3°."""
    ordered = sorted(degrees)
    tail = len(ordered) // 20
    return statistics.median(ordered), 2 * (ordered[-1 - tail] - ordered[tail]) + 3


def _query(sql: str, parameters: tuple[str, ...]) -> list[tuple[Any, ...]]:
    with _lock:  # the connection is shared by all threads
        return _database().execute(sql, parameters).fetchall()


@cache
def _database() -> sqlite3.Connection:
    """Open the package's SQLite file read-only, without importing the package."""
    spec = find_spec("pyunlocode")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("The package pyunlocode is missing; install requirements.lock.")
    path = Path(spec.origin).parent / "unlocode.db"
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
