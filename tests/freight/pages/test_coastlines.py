"""The map's coastlines: a small file whose rings fill land and leave water, built once."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from freight.pages import coastlines


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file, built once for all tests."""
    target = tmp_path_factory.mktemp("map") / "deeper" / "world.json"
    assert coastlines.build(target)
    return target


@pytest.fixture(scope="module")
def world(built: Path) -> dict[str, Any]:
    """Return its content."""
    document: dict[str, Any] = orjson.loads(built.read_bytes())
    return document


def _winding(rings: list[list[list[float]]], longitude: float, latitude: float) -> int:
    """Return the winding number of the rings around a point, counter-clockwise."""
    turns = 0
    for ring in rings:
        for (x, y), (x_next, y_next) in pairwise([*ring, ring[0]]):
            left = (x_next - x) * (latitude - y) - (longitude - x) * (y_next - y)
            if y <= latitude < y_next and left > 0:
                turns += 1
            elif y_next <= latitude < y and left < 0:
                turns -= 1
    return turns


@pytest.mark.parametrize(
    ("place", "longitude", "latitude"),
    [
        ("Amsterdam", 4.9, 52.3),
        ("Denver", -104.99, 39.74),
        ("Canberra", 149.13, -35.28),
        ("Chukotka, west of the date line", 178.0, 67.5),
        ("Chukotka, east of it", -175.0, 66.5),
        ("Vostok, Antarctica", 106.8, -78.5),
        ("Iceland", -18.5, 64.9),
    ],
)
def test_land_is_filled(world: dict[str, Any], place: str, longitude: float, latitude: float) -> None:
    assert _winding(world["land"], longitude, latitude) == 1


@pytest.mark.parametrize(
    ("place", "longitude", "latitude"),
    [
        ("mid-Pacific", -150.0, 10.0),
        ("mid-Atlantic", -40.0, 30.0),
        ("North Sea", 3.2, 54.5),
        ("Caspian Sea", 50.5, 42.0),
        ("Lake Superior", -88.0, 47.7),
        ("Southern Ocean", 100.0, -55.0),
    ],
)
def test_water_is_not_filled(world: dict[str, Any], place: str, longitude: float, latitude: float) -> None:
    assert _winding(world["land"], longitude, latitude) == 0


def test_every_line_is_within_the_map_and_none_crosses_the_date_line(world: dict[str, Any]) -> None:
    lines = world["land"] + world["borders"]

    assert all(-180 <= x <= 180 and -85 <= y <= 84 for line in lines for x, y in line)
    assert max(abs(here[0] - there[0]) for line in lines for here, there in pairwise(line)) <= 180


def test_the_file_is_small_and_attributes_its_data(built: Path, world: dict[str, Any]) -> None:
    assert built.stat().st_size < 125_000
    assert world["attribution"] == coastlines.ATTRIBUTION


def test_an_up_to_date_file_is_not_built_again(built: Path) -> None:
    before = built.stat().st_mtime_ns

    assert coastlines.build(built) is False
    assert built.stat().st_mtime_ns == before
    assert [path.name for path in built.parent.iterdir()] == ["world.json"]


def test_a_simplified_line_keeps_its_ends_and_its_corners() -> None:
    line = [(0.0, 0.0), (1.0, 0.1), (2.0, 0.0), (2.1, 1.0), (2.0, 2.0)]

    assert coastlines.simplify(line) == [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)]
