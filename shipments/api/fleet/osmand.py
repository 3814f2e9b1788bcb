"""The OsmAnd protocol of phone trackers (Traccar Client), in its two formats.

Query or form parameters (`id`, `lat`, `lon`, `timestamp` …, speed in knots), or since Traccar Client 9 JSON
(`device_id` and `location.coords`, speed in m/s). Everything else in a message is ignored.
See https://www.traccar.org/osmand/
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from shipments.services import InvalidArgument
from shipments.services.fleet import plausibility

_KNOT: Final = 1852 / 3600
_NUMBER: Final = re.compile(r"[+-]?(\d{1,15}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,16}", re.ASCII)
# A larger timestamp is in milliseconds: as seconds it would be after the year 2286.
_MAX_SECONDS: Final = 10**10
_EARLIEST_YEAR: Final = 2000
_MAX_KEY_LENGTH: Final = 128
_MISSING: Final = (None, "")


@dataclass(frozen=True, slots=True)
class Report:
    """A position as `intake.record_position` takes it: degrees, metres, m/s; `recorded_at` None means now."""

    latitude: float
    longitude: float
    recorded_at: datetime | None
    accuracy: float | None
    speed: float | None
    bearing: float | None

    def as_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `intake.record_position`, without the driver."""
        return {name: getattr(self, name) for name in self.__slots__}


def device_key_of(message: Mapping[str, Any]) -> str | None:
    """Return the device key, None where the message has none of plausible length."""
    for name in ("id", "deviceid", "device_id"):
        value = message.get(name)
        if isinstance(value, str) and 0 < len(value) <= _MAX_KEY_LENGTH:
            return value
    return None


def parse_report(message: Mapping[str, Any]) -> Report:
    """Return the position of a message.

    Raises InvalidArgument: `no_coordinates` for a heartbeat or a phone without a fix, `too_old` for a time before
    phones had receivers, `unreadable` for the rest.
    """
    if "location" in message and not isinstance(message["location"], str):
        return _parse_json(message["location"])
    latitude, longitude = message.get("lat"), message.get("lon")
    if isinstance(message.get("location"), str):
        latitude, _, longitude = message["location"].partition(",")
    if str(message.get("valid", "true")).lower() in {"false", "0"}:
        latitude = longitude = None
    speed = _number(message.get("speed"))
    return Report(
        **_place("lat", latitude, "lon", longitude),
        recorded_at=_instant(message.get("timestamp")),
        accuracy=_measure(message.get("accuracy"), math.inf),
        speed=_measure(speed and speed * _KNOT, plausibility.MAX_METRES_PER_SECOND),
        bearing=_measure(message.get("bearing", message.get("heading")), plausibility.MAX_BEARING_DEGREES),
    )


def _parse_json(location: Any) -> Report:
    coords = location.get("coords") if isinstance(location, Mapping) else None
    if not isinstance(coords, Mapping):
        coords = {}
    return Report(
        **_place("latitude", coords.get("latitude"), "longitude", coords.get("longitude")),
        recorded_at=_instant(location.get("timestamp")),
        accuracy=_measure(coords.get("accuracy"), math.inf),
        speed=_measure(coords.get("speed"), plausibility.MAX_METRES_PER_SECOND),
        bearing=_measure(coords.get("heading"), plausibility.MAX_BEARING_DEGREES),
    )


def _place(latitude_name: str, latitude: Any, longitude_name: str, longitude: Any) -> dict[str, float]:
    if latitude in _MISSING and longitude in _MISSING:
        raise InvalidArgument(latitude_name, "The message holds no coordinates.", code="no_coordinates")
    return {"latitude": _degrees(latitude_name, latitude), "longitude": _degrees(longitude_name, longitude)}


def _degrees(name: str, value: Any) -> float:
    number = _number(value)
    if number is None:
        raise InvalidArgument(name, "Give degrees as a number.", code="unreadable")
    return number


def _measure(value: Any, maximum: float) -> float | None:
    """Return a measurement, None where it is unknown: left out, -1, or more than a vehicle can have."""
    number = _number(value)
    return number if number is not None and 0 <= number <= maximum else None


def _number(value: Any) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    return None


def _instant(value: Any) -> datetime | None:
    """Parse seconds or milliseconds since 1970, ISO 8601, or a date and time in UTC."""
    if value is None or value == "":
        return None
    try:
        at = _parse_instant(value)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgument(
            "timestamp", "Give a time in seconds or milliseconds since 1970, or as ISO 8601.", code="unreadable"
        ) from error
    if at.year < _EARLIEST_YEAR:
        raise InvalidArgument("timestamp", "No phone had a receiver then.", code="too_old")
    return at


def _parse_instant(value: Any) -> datetime:
    if isinstance(value, float) or (isinstance(value, int | str) and _WHOLE.fullmatch(str(value).strip())):
        number = float(value)
        return datetime.fromtimestamp(number if number < _MAX_SECONDS else number / 1000, UTC)
    at = datetime.fromisoformat(str(value)[:40].strip().upper())
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
