"""Simulate the demo's drivers: each moves along the lane of the shipment that it carries."""

import random
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shipments import intake
from shipments.auth import subjects
from shipments.demo import lane_network
from shipments.domain import lifecycle
from shipments.models import Shipment

# Every lane takes this long, whatever its length: at real speed no movement would be visible.
CROSSING: Final = timedelta(hours=2)
_REFRESH: Final = timedelta(minutes=1)
_MAX_DRIVERS: Final = 2_000


@dataclass(slots=True)
class _Trip:
    lane: lane_network.Lane
    share: float
    moved_at: datetime


class DriverSimulator:
    """Keeps the drivers en route with their lanes, and moves some of them at a time."""

    def __init__(self, organization_id: uuid.UUID, rng: random.Random) -> None:
        self._organization_id = organization_id
        self._by = subjects.system_subject(organization_id, name="simulator")
        self._rng = rng
        self._trips: dict[uuid.UUID, _Trip] = {}
        self._rotation: deque[uuid.UUID] = deque()
        self._loaded_at: datetime | None = None

    def move(self, count: int, *, now: datetime) -> int:
        """Move the next `count` drivers, in rotation, and return how many latest positions changed."""
        if self._loaded_at is None or now - self._loaded_at >= _REFRESH:
            self._load_trips(now)
        moved = 0
        for _ in range(min(count, len(self._rotation))):
            driver_id = self._rotation[0]
            self._rotation.rotate(-1)
            trip = self._trips[driver_id]
            trip.share = min(trip.share + (now - trip.moved_at) / CROSSING * self._rng.uniform(0.8, 1.2), 1.0)
            trip.moved_at = now
            latitude, longitude = trip.lane.at(trip.share)
            moved += self._report(driver_id, round(latitude, 5), round(longitude, 5), now)
        return moved

    def _report(self, driver_id: uuid.UUID, latitude: float, longitude: float, now: datetime) -> bool:
        """Report a position; False for a driver that has been removed or deactivated concurrently."""
        try:
            result = intake.record_position(
                by=self._by, now=now, driver_id=driver_id, latitude=latitude, longitude=longitude
            )
        except (intake.DriverNotFound, intake.Forbidden):
            return False
        return result.outcome == "latest"

    def _load_trips(self, now: datetime) -> None:
        """Load the drivers in motion; the newest shipment of a driver decides its lane."""
        rows = (
            Shipment.objects.of_organization(self._organization_id)
            .not_deleted()
            .filter(status__in=lifecycle.IN_MOTION, driver__isnull=False)
            .exclude(origin__latitude=None)
            .exclude(destination__latitude=None)
            .exclude(origin__locode=None)
            .exclude(destination__locode=None)
            .order_by("-created_at", "-id")
            .values_list(
                "driver_id", "origin__locode", "destination__locode",
                "driver__last_position__latitude", "driver__last_position__longitude",
            )
        )  # fmt: skip
        trips: dict[uuid.UUID, _Trip] = {}
        for driver_id, origin, destination, latitude, longitude in rows[:_MAX_DRIVERS]:
            if driver_id in trips:
                continue
            current_trip = self._trips.get(driver_id)
            if current_trip and (current_trip.lane.origin, current_trip.lane.destination) == (origin, destination):
                trips[driver_id] = current_trip
                continue
            lane = lane_network.lane(origin, destination)
            share = 0.0 if latitude is None else _progress_at(lane, (latitude, longitude))
            trips[driver_id] = _Trip(lane, share, now)
        self._trips, self._rotation, self._loaded_at = trips, deque(trips), now


def _progress_at(lane: lane_network.Lane, point: lane_network.Point) -> float:
    """Return the share of the lane nearest to a point; 0 for a point far from the lane."""
    share, km = min(
        ((step / 100, lane_network.distance_km(lane.at(step / 100), point)) for step in range(101)),
        key=lambda pair: pair[1],
    )
    return share if km < max(lane.km / 20, 50) else 0.0
