"""UN/LOCODE places are found by code, with plausible positions."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shipments.domain import locodes

# Degrees and minutes as printed in the list or on a chart.
KNOWN = {
    "NLRTM": (51 + 55 / 60, 4 + 30 / 60),
    "DEHAM": (53 + 31 / 60, 9 + 56 / 60),
    "SGSIN": (1 + 16 / 60, 103 + 50 / 60),
    "USNYC": (40 + 42 / 60, -74),
    "USLAX": (34 + 3 / 60, -(118 + 15 / 60)),
    "USLGB": (33 + 46 / 60, -(118 + 11 / 60)),
    "CNSGH": (31 + 14 / 60, 121 + 29 / 60),
    "BRSSZ": (-(23 + 56 / 60), -(46 + 19 / 60)),
    "AUSYD": (-(33 + 51 / 60), 151 + 12 / 60),
    "ZADUR": (-(29 + 51 / 60), 31 + 1 / 60),
    "JPTYO": (35 + 41 / 60, 139 + 45 / 60),
    "AEDXB": (25 + 15 / 60, 55 + 16 / 60),
    "CLVAP": (-(33 + 2 / 60), -(71 + 38 / 60)),
    "NZAKL": (-(36 + 50 / 60), 174 + 48 / 60),
    "FJSUV": (-(18 + 8 / 60), 178 + 27 / 60),
    "KEMBA": (-(4 + 3 / 60), 39 + 40 / 60),
}


@pytest.mark.parametrize(("code", "position"), KNOWN.items(), ids=KNOWN)
def test_a_port_lies_where_charts_show_it(code: str, position: tuple[float, float]) -> None:
    # The list itself puts some ports 8 km from where charts do.
    place = locodes.find(code)

    assert place is not None
    assert (place.latitude, place.longitude) == pytest.approx(position, abs=0.1)


def test_a_place_has_its_name_country_and_functions() -> None:
    place = locodes.find("NLRTM")

    assert place == locodes.Locode("NLRTM", "Rotterdam", "NL", 51.9167, 4.5, True, True, True)


@pytest.mark.parametrize("code", ["", "NL", "XXXXX", "NLRTMX", "NLRT\N{KELVIN SIGN}", "NL' OR", "N\0RTM"])
def test_an_invalid_code_finds_nothing(code: str) -> None:
    assert locodes.find(code) is None


def test_the_case_of_a_code_does_not_matter() -> None:
    assert locodes.find("nlrtm") == locodes.find("NLRTM")


@pytest.mark.parametrize(
    "code",
    [
        "AROBE",  # 550° west
        "USZZD",  # 751° west
        "DEAAL",  # no position published
        "DEEEH",  # Upper Bavaria at 111° east, in China
        "ZABA4",  # South Africa north of the equator
    ],
)
def test_an_implausible_position_is_left_out(code: str) -> None:
    place = locodes.find(code)

    assert place is not None
    assert (place.latitude, place.longitude) == (None, None)


def test_every_supplemented_position_is_missing_in_the_list() -> None:
    path = Path(locodes._database().execute("PRAGMA database_list").fetchone()[2])
    with sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True) as database:
        bare = {
            row[0]
            for row in database.execute("SELECT country_code || location_code FROM location WHERE latitude = 91")
        }

    assert set(locodes._SUPPLEMENTED) - bare == set()


def test_supplemented_positions_lie_in_their_countries() -> None:
    astray = {
        code
        for code in locodes._SUPPLEMENTED
        if not locodes._is_near_country(code[:2], *map(locodes._parse_degrees, locodes._SUPPLEMENTED[code]))
    }

    assert astray == set()


def test_lookups_are_safe_for_threads() -> None:
    locodes.find.cache_clear()
    codes = [*KNOWN] * 20

    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(locodes.find, codes))

    assert [entry.code if entry else None for entry in places] == codes


def test_the_packages_file_is_not_written() -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        locodes._database().execute("DELETE FROM location")
