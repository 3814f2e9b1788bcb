"""Which positions are accepted: values in range, a time that can be, and no jump that no vehicle makes."""

import itertools
import math
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from django.conf import settings

from shipments.services.validation import InvalidArgument, refuse_future

# Phones without a network buffer positions and send them later, within this age.
MAX_AGE: Final = timedelta(days=min(7, settings.POSITION_RETENTION_DAYS))
MAX_ACCURACY_METRES: Final = 100_000.0
MAX_METRES_PER_SECOND: Final = 500.0
_FULL_CIRCLE_DEGREES: Final = 360.0
MAX_BEARING_DEGREES: Final = _FULL_CIRCLE_DEGREES
# 1,000 km/h: faster than any vehicle. Fixes scatter, so a kilometre and the reported accuracy are tolerated.
_MAX_KM_PER_SECOND: Final = 1_000 / 3_600
_TOLERANCE_KM: Final = 1.0
_MAX_ACCURACY_KM: Final = 5.0
_KM_PER_DEGREE: Final = 111.32
# demo/lane_network.py has a radius of its own: the same seed must keep giving the same demo data.
_EARTH_KM: Final = 6_371.0
# What a receiver without a fix reports: the place in the Atlantic where both degrees are 0, to about 100 m.
_NULL_ISLAND_DEGREES: Final = 0.001
# This many rejected fixes in a row that are consistent with each other are accepted: the last good one was wrong.
_CONSISTENT_FIXES: Final = 3


class Sighting(Protocol):
    """A place at a time."""

    @property
    def latitude(self) -> float: ...
    @property
    def longitude(self) -> float: ...
    @property
    def recorded_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Fix:
    """A reported position: WGS 84 degrees, metres, metres per second, degrees clockwise from north."""

    driver_id: uuid.UUID
    latitude: float
    longitude: float
    recorded_at: datetime
    accuracy: float | None = None
    speed: float | None = None
    bearing: float | None = None


@dataclass(frozen=True, slots=True)
class LastSighting:
    """The latest position of a driver; `own`: reported by the driver itself, not by a system."""

    latitude: float
    longitude: float
    recorded_at: datetime
    own: bool = True


class Implausible(InvalidArgument):
    """No vehicle gets from the last position to this one in that time. It is stored as evidence, never shown."""

    def __init__(self) -> None:
        message = "No vehicle gets there from its last position in that time."
        super().__init__("latitude", message, code="impossible_jump")


def check_values(fix: Fix, *, now: datetime) -> None:
    """Raise InvalidArgument, with the field as the API names it, for a value out of range."""
    checks = (
        ("latitude", -90 <= fix.latitude <= 90, "out_of_range", "A latitude is -90 to 90 degrees."),
        ("longitude", -180 <= fix.longitude <= 180, "out_of_range", "A longitude is -180 to 180 degrees."),
        (
            "latitude", not _is_null_island(fix), "null_island",
            "0 degrees, 0 degrees is what a receiver without a fix reports.",
        ),
        (
            "accuracy", _within(fix.accuracy, MAX_ACCURACY_METRES), "out_of_range",
            "An accuracy is 0 to 100,000 metres.",
        ),
        (
            "speed", _within(fix.speed, MAX_METRES_PER_SECOND), "out_of_range",
            "A speed is 0 to 500 metres a second.",
        ),
        ("bearing", _within(fix.bearing, MAX_BEARING_DEGREES), "out_of_range", "A bearing is 0 to 360 degrees."),
        (
            "recordedAt", fix.recorded_at >= now - MAX_AGE, "too_old",
            f"A position is at most {MAX_AGE.days} days old.",
        ),
    )  # fmt: skip
    for field, is_in_range, code, message in checks:
        if not is_in_range:
            raise InvalidArgument(field, message, code=code)
    refuse_future("recordedAt", fix.recorded_at, now=now, reason="This time has not come yet")


def is_valid(fix: Fix, oldest: datetime, newest: datetime) -> bool:
    """Tell whether `check_values` raises nothing for the fix: for batches. NaN is in no range."""
    return (
        -90 <= fix.latitude <= 90
        and -180 <= fix.longitude <= 180
        and not _is_null_island(fix)
        and oldest <= fix.recorded_at <= newest
        and (fix.accuracy is None or 0 <= fix.accuracy <= MAX_ACCURACY_METRES)
        and (fix.speed is None or 0 <= fix.speed <= MAX_METRES_PER_SECOND)
        and (fix.bearing is None or 0 <= fix.bearing <= MAX_BEARING_DEGREES)
    )


class PlausibilityTracker:
    """Tracks one driver: which of its next fixes its vehicle can have reached."""

    __slots__ = ("_last", "_rejected")

    def __init__(self, last: Sighting | None, rejected: tuple[Sighting, ...] = ()) -> None:
        self._last = last
        self._rejected: list[Sighting] = list(rejected)

    def accept(self, fix: Fix) -> bool:
        """Return whether the vehicle can have reached the fix; later fixes are then measured from it."""
        if self._last is None or is_reachable(self._last, fix):
            if self._last is None or fix.recorded_at > self._last.recorded_at:
                self._last = fix
            self._rejected.clear()
            return True
        self._rejected = [*self._rejected[1 - _CONSISTENT_FIXES :], fix]
        if len(self._rejected) < _CONSISTENT_FIXES or not _are_consistent(self._rejected):
            return False
        self._last = fix
        self._rejected.clear()
        return True


def is_reachable(start: Sighting, end: Fix) -> bool:
    """Tell whether a vehicle gets from one place to the other in the time between, in either order."""
    seconds = abs((end.recorded_at - start.recorded_at).total_seconds())
    accuracy_km = min((end.accuracy or 0.0) / 1_000, _MAX_ACCURACY_KM)
    reachable_km = _TOLERANCE_KM + accuracy_km + seconds * _MAX_KM_PER_SECOND
    north, east = abs(end.latitude - start.latitude), abs(end.longitude - start.longitude)
    # The distance along the degrees is never shorter than the great circle: most pairs need no haversine.
    if (north + min(east, _FULL_CIRCLE_DEGREES - east)) * _KM_PER_DEGREE <= reachable_km:
        return True
    return _distance_km(start, end) <= reachable_km


def _are_consistent(rejected: list[Sighting]) -> bool:
    pairs = itertools.pairwise(rejected)
    return all(
        one.recorded_at < other.recorded_at and _distance_km(one, other) <= _reachable_km(one, other)
        for one, other in pairs
    )


def _reachable_km(one: Sighting, other: Sighting) -> float:
    return _TOLERANCE_KM + (other.recorded_at - one.recorded_at).total_seconds() * _MAX_KM_PER_SECOND


def _distance_km(one: Sighting, other: Sighting) -> float:
    """Return the great-circle distance in km (haversine formula, mean radius of the earth)."""
    north = math.radians(other.latitude - one.latitude) / 2
    east = math.radians(other.longitude - one.longitude) / 2
    cosines = math.cos(math.radians(one.latitude)) * math.cos(math.radians(other.latitude))
    haversine = math.sin(north) ** 2 + cosines * math.sin(east) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, haversine)))


def _is_null_island(fix: Fix) -> bool:
    return abs(fix.latitude) < _NULL_ISLAND_DEGREES and abs(fix.longitude) < _NULL_ISLAND_DEGREES


def _within(value: float | None, maximum: float) -> bool:
    return value is None or 0 <= value <= maximum
