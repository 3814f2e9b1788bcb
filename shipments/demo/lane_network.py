"""The lanes of the demo: hubs, the routes between them by sea, road and rail, and their transit times.

A lane is an origin, a destination and a mode.
"""

import math
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from itertools import pairwise, permutations
from typing import Final

from shipments.domain import locodes

Point = tuple[float, float]  # latitude, longitude in degrees

# Mean radius (IUGG).
EARTH_KM: Final = 6371.0088
# Great-circle kilometres per day of each mode, rests and detours included.
KM_PER_DAY: Final = {"sea": 780.0, "road": 820.0, "rail": 900.0}

# Waypoints in open water; `_SEA_LEGS` joins neighbours.
_SEA_WAYPOINTS: Final[dict[str, Point]] = {
    "north_sea": (53.5, 3.2), "dover": (51.0, 1.4), "channel": (49.3, -5.6), "biscay": (44.0, -9.8),
    "gibraltar": (35.95, -5.7), "alboran": (36.6, -1.5), "sicily": (37.4, 11.2), "ionian": (36.0, 17.5),
    "crete": (34.4, 24.0), "ligurian": (42.6, 7.2), "aegean": (36.3, 23.3), "port_said": (31.6, 32.4),
    "suez": (29.6, 32.55), "red_sea": (20.5, 38.5), "mandeb": (12.5, 43.3), "aden": (12.6, 50.5),
    "hormuz": (25.2, 57.9), "gulf": (26.2, 55.2), "arabian_sea": (17.5, 66.5), "dondra": (5.6, 80.6),
    "malacca_west": (5.9, 95.0), "malacca": (3.0, 100.5), "singapore": (1.15, 103.85),
    "south_china_sea": (11.0, 111.5), "luzon": (20.6, 119.8), "taiwan_strait": (24.3, 119.6),
    "east_china_sea": (30.5, 123.3), "yellow_sea": (36.0, 123.3), "korea_strait": (33.9, 128.6),
    "kii": (33.2, 135.9), "izu": (34.6, 139.9), "north_pacific": (46.0, 178.0), "california": (33.4, -120.5),
    "puget": (48.5, -125.2), "mexico_pacific": (18.4, -105.5), "panama_pacific": (7.2, -79.6),
    "panama_atlantic": (9.8, -79.9), "caribbean": (17.9, -75.2), "windward": (20.3, -73.8),
    "florida": (25.4, -79.8), "hatteras": (35.0, -74.5), "new_york": (40.2, -72.8), "grand_banks": (43.0, -50.0),
    "gulf_of_mexico": (25.0, -88.0), "yucatan": (21.9, -85.4), "chile": (-32.8, -72.6), "peru": (-12.3, -78.2),
    "cabo_branco": (-7.0, -34.0), "cabo_frio": (-24.2, -42.0), "la_plata": (-35.8, -55.5),
    "canaries": (28.8, -16.4), "dakar": (14.7, -18.2), "palmas": (3.8, -8.0), "guinea": (4.3, 2.2),
    "good_hope": (-35.2, 18.0), "durban": (-30.5, 31.8), "mozambique": (-11.5, 42.5), "mombasa": (-4.3, 40.9),
    "sunda": (-6.3, 104.8), "leeuwin": (-34.8, 114.3), "bass": (-39.2, 144.0), "tasman": (-36.5, 151.5),
    "north_cape": (-34.0, 173.5), "coral_sea": (-18.0, 158.0), "halmahera": (3.5, 128.5), "fiji": (-19.0, 177.6),
    "bay_of_bengal": (12.5, 82.0),
}  # fmt: skip
_SEA_LEGS: Final = """
north_sea dover channel biscay gibraltar alboran sicily ionian crete port_said suez red_sea mandeb aden dondra
malacca_west malacca singapore south_china_sea luzon east_china_sea korea_strait kii izu north_pacific california
/ alboran ligurian sicily / ionian aegean crete / aden arabian_sea hormuz gulf / aden hormuz / arabian_sea dondra
/ dondra bay_of_bengal malacca_west / south_china_sea taiwan_strait east_china_sea yellow_sea korea_strait
/ north_pacific puget california mexico_pacific panama_pacific panama_atlantic caribbean windward hatteras new_york
grand_banks channel / windward florida hatteras / florida gulf_of_mexico yucatan caribbean / florida grand_banks
/ panama_pacific peru chile / gibraltar canaries dakar palmas guinea good_hope durban mozambique mombasa aden
/ biscay canaries / dakar cabo_branco cabo_frio la_plata good_hope / windward cabo_branco / cabo_frio good_hope
/ gibraltar grand_banks / durban dondra / mombasa dondra / singapore sunda leeuwin bass tasman north_cape
/ tasman coral_sea halmahera luzon / coral_sea fiji north_cape / fiji north_pacific / durban leeuwin
/ sunda dondra / channel cabo_branco / izu puget
""".replace("\n", " ").split("/")

# Ports, each with its nearest waypoint.
PORTS: Final = {
    "NLRTM": "north_sea", "BEANR": "north_sea", "DEHAM": "north_sea", "GBFXT": "dover", "FRLEH": "channel",
    "ESVLC": "alboran", "ESBCN": "ligurian", "ITGOA": "ligurian", "GRPIR": "aegean", "TRMER": "crete",
    "EGPSD": "port_said", "SAJED": "red_sea", "AEDXB": "gulf", "INNSA": "arabian_sea", "LKCMB": "dondra",
    "INMAA": "bay_of_bengal", "MYPKG": "malacca", "SGSIN": "singapore", "VNSGN": "south_china_sea",
    "THLCH": "south_china_sea", "IDJKT": "sunda", "PHMNL": "south_china_sea", "HKHKG": "luzon",
    "TWKHH": "luzon", "CNXMN": "taiwan_strait", "CNSGH": "east_china_sea", "CNTAO": "yellow_sea",
    "KRPUS": "korea_strait", "JPUKB": "kii", "JPYOK": "izu", "USLGB": "california", "USOAK": "california",
    "USSEA": "puget", "CAVAN": "puget", "MXZLO": "mexico_pacific", "PECLL": "peru", "CLVAP": "chile",
    "COCTG": "caribbean", "USHOU": "gulf_of_mexico", "MXVER": "gulf_of_mexico", "USSAV": "hatteras",
    "USNYC": "new_york", "CAHAL": "grand_banks", "BRSSZ": "cabo_frio", "UYMVD": "la_plata",
    "ARBUE": "la_plata", "NGAPP": "guinea", "GHTEM": "guinea", "CIABJ": "palmas", "ZACPT": "good_hope",
    "ZADUR": "durban", "TZDAR": "mombasa", "KEMBA": "mombasa", "AUFRE": "leeuwin", "AUMEL": "bass",
    "AUSYD": "tasman", "NZAKL": "north_cape", "FJSUV": "fiji",
}  # fmt: skip
# Hubs among which trucks and trains can go from any to any other.
LAND_NETWORKS: Final = (
    "NLRTM BEANR DEHAM FRPAR FRLIO FRMRS DEBRE CHBSL ITMIL ITGOA ESMAD ESBCN PLWAW PLGDN CZPRG ATVIE HUBUD DKCPH",
    "USNYC USCHI USDEN USDAL USATL USLAX USSEA USMEM USSLC USPHX USHOU USMIA CATOR CAMTR CAWNP CAVAN MXMTY MXMEX",
    "BRSSZ BRSAO BRRIO UYMVD ARBUE CLSCL",
    "INNSA INDEL INMAA INBLR INCCU",
    "CNSGH CNTAO CNCKG CNXMN CNPEK VNHPH",
    "THBKK THLCH MYKUL MYPKG SGSIN KHPNH VNSGN",
    "ZADUR ZAJNB ZACPT",
    "KEMBA KENBO TZDAR",
    "AUSYD AUMEL AUBNE AUADL AUFRE",
    "AEDXB SARUH SAJED KWKWI",
)
_ROAD_KM: Final = (120.0, 1600.0)
_RAIL_KM: Final = (1600.0, 4500.0)
_SEA_KM: Final = (1500.0, 26000.0)


@dataclass(frozen=True, slots=True)
class Lane:
    """A route from hub to hub by one mode: its points in order, and the distance of each from the origin in km."""

    origin: str
    destination: str
    mode: str
    points: tuple[Point, ...]
    distances_km: tuple[float, ...]

    @property
    def km(self) -> float:
        """The length of the route."""
        return self.distances_km[-1]

    @property
    def days(self) -> float:
        """The transit time in days."""
        return self.km / KM_PER_DAY[self.mode]

    def at(self, share: float) -> Point:
        """Return the point at `share` (0…1) of the route."""
        travelled_km = min(max(share, 0.0), 1.0) * self.km
        for index, (before, after) in enumerate(pairwise(self.distances_km)):
            if travelled_km <= after:
                return point_between(
                    self.points[index], self.points[index + 1], (travelled_km - before) / (after - before)
                )
        return self.points[-1]


def distance_km(here: Point, there: Point) -> float:
    """Return the great-circle distance in km (haversine)."""
    north_1, east_1, north_2, east_2 = map(math.radians, (*here, *there))
    half = math.sin((north_2 - north_1) / 2) ** 2
    half += math.cos(north_1) * math.cos(north_2) * math.sin((east_2 - east_1) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def point_between(here: Point, there: Point, share: float) -> Point:
    """Return the point at `share` of the great circle between two points that are not antipodes."""
    angle = distance_km(here, there) / EARTH_KM
    if angle < 1e-9:
        return here
    x = y = z = 0.0
    for (latitude, longitude), weight in ((here, math.sin((1 - share) * angle)), (there, math.sin(share * angle))):
        north, east = math.radians(latitude), math.radians(longitude)
        x += weight * math.cos(north) * math.cos(east)
        y += weight * math.cos(north) * math.sin(east)
        z += weight * math.sin(north)
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def position(code: str) -> Point:
    """Return the position of a hub. Raises LookupError for a place without coordinates."""
    entry = locodes.find(code)
    if entry is None or entry.latitude is None or entry.longitude is None:
        raise LookupError(f"The demo's hub {code} has no position.")
    return entry.latitude, entry.longitude


@cache
def lanes() -> dict[tuple[str, str], Lane]:
    """Return every lane by origin and destination: by road or rail where possible, else by sea."""
    lanes_by_ends: dict[tuple[str, str], Lane] = {}
    for land in LAND_NETWORKS:
        for ends in permutations(land.split(), 2):
            direct = tuple(map(position, ends))
            km = distance_km(*direct)
            for mode, (least, most) in (("road", _ROAD_KM), ("rail", _RAIL_KM)):
                if least <= km < most:
                    lanes_by_ends[ends] = _lane(*ends, mode, direct)
    land_of = {port: land for land in LAND_NETWORKS for port in land.split()}
    for origin, destination in permutations(PORTS, 2):
        if land_of.get(origin, origin) == land_of.get(destination, destination):
            continue
        lane = _lane(origin, destination, "sea", _sea_route(origin, destination))
        if _SEA_KM[0] <= lane.km < _SEA_KM[1]:
            lanes_by_ends.setdefault((origin, destination), lane)
    return lanes_by_ends


def hubs() -> list[str]:
    """Return the UN/LOCODEs of all origins and destinations, sorted."""
    return sorted({end for ends in lanes() for end in ends})


def lane(origin: str, destination: str) -> Lane:
    """Return the lane between two UN/LOCODEs; without a known one, a straight line by road."""
    return lanes().get((origin, destination)) or _lane(
        origin, destination, "road", (position(origin), position(destination))
    )


def _lane(origin: str, destination: str, mode: str, points: tuple[Point, ...]) -> Lane:
    reached = [0.0]
    for here, there in pairwise(points):
        reached.append(reached[-1] + distance_km(here, there))
    return Lane(origin, destination, mode, points, tuple(reached))


def _sea_route(origin: str, destination: str) -> tuple[Point, ...]:
    waters = _shortest_sea_path(PORTS[origin], PORTS[destination])
    return (position(origin), *(_SEA_WAYPOINTS[name] for name in waters), position(destination))


@cache
def _sea_graph() -> dict[str, dict[str, float]]:
    joined: dict[str, dict[str, float]] = {name: {} for name in _SEA_WAYPOINTS}
    for chain in _SEA_LEGS:
        for one, other in pairwise(chain.split()):
            joined[one][other] = joined[other][one] = distance_km(_SEA_WAYPOINTS[one], _SEA_WAYPOINTS[other])
    return joined


@cache
def _shortest_sea_path(start: str, goal: str) -> tuple[str, ...]:
    """Return the waypoints of the shortest route (Dijkstra's algorithm)."""
    heap: list[tuple[float, tuple[str, ...]]] = [(0.0, (start,))]
    seen: set[str] = set()
    while heap:
        km, way = heappop(heap)
        if way[-1] == goal:
            return way
        if way[-1] in seen:
            continue
        seen.add(way[-1])
        for name, further in _sea_graph()[way[-1]].items():
            if name not in seen:
                heappush(heap, (km + further, (*way, name)))
    raise LookupError(f"No way by sea from {start} to {goal}.")
