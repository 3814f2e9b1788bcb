"""Plan one demo shipment before its history is generated: state, lane, load, parties and times."""

import random
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final

from shipments.demo import lane_network, names
from shipments.demo.organization import DemoOrganization, place_columns
from shipments.models import Customer, Driver

# Percentage of shipments in each state; NEW_WEIGHTS are for those too new to have got far.
WEIGHTS: Final = {
    "draft": 3.0, "booked": 5.0, "dispatched": 3.0, "at_pickup": 2.0, "in_transit": 28.0, "at_facility": 6.0,
    "out_for_delivery": 4.0, "at_delivery": 2.0, "delivery_attempted": 2.0, "available_for_pickup": 2.0,
    "partially_delivered": 1.0, "delivered": 35.5, "returning": 1.0, "returned": 2.0, "cancelled": 3.0, "lost": 0.5,
}  # fmt: skip
NEW_WEIGHTS: Final = {"draft": 3.0, "booked": 5.0, "dispatched": 1.5, "cancelled": 0.5}
BEFORE_DEPARTURE: Final = frozenset({"draft", "booked", "dispatched", "at_pickup", "cancelled"})
_MODE_WEIGHTS: Final = {"sea": 40, "road": 45, "rail": 15}
_MIN_LEAD: Final = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one history: state, lane, driver and times."""

    status: str
    lane: lane_network.Lane
    driver: Driver | None
    departs_at: datetime
    arrives_at: datetime
    ends_at: datetime  # no event is later


def choose_status(rng: random.Random, *, number: int, age: timedelta) -> str:
    """Choose a state fit for the age; the oldest shipments show every state once."""
    if number <= len(WEIGHTS):
        return [*WEIGHTS][number - 1]
    weights = WEIGHTS if age >= _MIN_LEAD * 2 else NEW_WEIGHTS
    return rng.choices([*weights], [*weights.values()])[0]


def plan(organization: DemoOrganization, number: int, created_at: datetime, status: str) -> Plan:
    """Return a plan that fits the state; a shipment too new for it is planned as booked."""
    latest_event_at = organization.now - timedelta(minutes=2)
    if status in organization.drivers_by_status:
        return _plan_with_driver_en_route(organization, number, created_at, status, latest_event_at) or plan(
            organization, number=number, created_at=created_at, status="booked"
        )
    rng, age = organization.rng, organization.now - created_at
    driver = rng.choice(organization.drivers)
    if status in BEFORE_DEPARTURE:
        lane = random_lane(rng)
        departs_at = organization.now + timedelta(hours=rng.randrange(4, 240))
        assigned = driver if status in {"dispatched", "at_pickup"} else None
        return Plan(status, lane, assigned, departs_at, departs_at + timedelta(days=lane.days), latest_event_at)
    lane_in_time = _lane_within_days(rng, age / timedelta(days=1) * 0.7)
    if lane_in_time is None:
        return plan(organization, number, created_at, "booked")
    span = timedelta(days=lane_in_time.days)
    departs_at = created_at + (age - span) * rng.uniform(0.1, 0.8)
    return Plan(
        status, lane_in_time, driver, departs_at, departs_at + span, min(departs_at + span, latest_event_at)
    )


def _plan_with_driver_en_route(
    organization: DemoOrganization, number: int, created_at: datetime, status: str, latest_event_at: datetime
) -> Plan | None:
    """Plan the shipment with a driver en route that departed after the booking, None where there is none."""
    carriers = organization.drivers_by_status[status]
    for attempt in range(12):
        # The driver that can log in always has shipments.
        first = not attempt and number % 40 == 0
        driver = carriers[0] if first else organization.rng.choice(carriers)
        run = organization.runs[driver.pk]
        if run.departed_at - _MIN_LEAD > created_at:
            return Plan(status, run.lane, driver, run.departed_at, run.arrives_at, latest_event_at)
    return None


@cache
def _lanes_by_days() -> dict[str, tuple[list[float], list[lane_network.Lane]]]:
    """Return the days and the lanes of each mode, the fastest lane first."""
    lanes_by_mode = {}
    for mode in _MODE_WEIGHTS:
        lanes = sorted(
            (lane for lane in lane_network.lanes().values() if lane.mode == mode), key=lambda lane: lane.days
        )
        lanes_by_mode[mode] = ([lane.days for lane in lanes], lanes)
    return lanes_by_mode


def random_lane(rng: random.Random) -> lane_network.Lane:
    """Choose a lane: the mode first, because there are far more lanes by sea than by land."""
    _, lanes = _lanes_by_days()[rng.choices([*_MODE_WEIGHTS], [*_MODE_WEIGHTS.values()])[0]]
    return rng.choice(lanes)


def _lane_within_days(rng: random.Random, max_days: float) -> lane_network.Lane | None:
    """Choose a lane that takes at most `max_days`, None where there is none."""
    first = rng.choices([*_MODE_WEIGHTS], [*_MODE_WEIGHTS.values()])[0]
    for mode in (first, "road"):
        days, lanes = _lanes_by_days()[mode]
        fitting = bisect_right(days, max_days)
        if fitting:
            return lanes[rng.randrange(fitting)]
    return None


def random_load(rng: random.Random, lane: lane_network.Lane) -> tuple[Decimal, Decimal]:
    """Return a weight in kg and a volume in m³ that the mode can carry."""
    heaviest = {"sea": 26_000_000, "rail": 60_000_000, "road": 22_000_000}[lane.mode]
    grams = rng.randrange(120_000, heaviest) // 500 * 500
    return Decimal(grams).scaleb(-3), Decimal(grams // rng.randrange(180, 520)).scaleb(-3)


def random_references(rng: random.Random, lane: lane_network.Lane) -> dict[str, str]:
    """Return the numbers of the order, the bill of lading and, on land, the carrier."""
    numbers = {"po": f"PO-45{rng.randrange(10**8):08d}", "bol": f"BOL{rng.randrange(10**7):07d}"}
    return numbers if lane.mode == "sea" else numbers | {"pro": f"{rng.randrange(10**9, 10**10)}"}


def shipment_row(organization: DemoOrganization, number: int, plan: Plan) -> dict[str, Any]:
    """Return the row of a new shipment: load, parties, places and planned times."""
    rng = organization.rng
    customer: Customer | None = rng.choice(organization.customers) if rng.random() < 0.95 else None
    origin, destination = organization.places[plan.lane.origin], organization.places[plan.lane.destination]
    early = timedelta(minutes=rng.randrange(-90, 240))
    weight_kg, volume_m3 = random_load(rng, plan.lane)
    return {
        "reference": f"{organization.prefix}-{number:06d}",
        "organization_id": organization.id,
        "origin_id": origin.pk,
        "destination_id": destination.pk,
        "customer_id": customer.pk if customer else None,
        "customer__name": customer.name if customer else None,
        "driver_id": None,
        "driver__name": None,
        "references": random_references(rng, plan.lane),
        "pieces": rng.randrange(1, 900),
        "weight_kg": weight_kg,
        "volume_m3": volume_m3,
        "planned_pickup_at": _on_the_hour(plan.departs_at - early),
        "planned_delivery_at": _on_the_hour(plan.arrives_at + timedelta(hours=2)),
        "delivered_at": None,
        "underway_since": None,
        "flags": [],
        "notes": rng.choice(names.NOTES) if rng.random() < 0.2 else "",
        "deleted_at": None,
        **place_columns(origin, "origin"),
        **place_columns(destination, "destination"),
    }


def _on_the_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
