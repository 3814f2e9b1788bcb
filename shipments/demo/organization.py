"""The people of a demo organisation: customers, drivers on their runs, dispatchers, and latest positions."""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shipments import representation
from shipments.demo import lane_network, names
from shipments.models import Customer, Driver, DriverPosition, Location, Position

# Weights of the states of drivers on the road.
_STATUS_WEIGHTS: Final = {
    "in_transit": 66,
    "at_facility": 16,
    "out_for_delivery": 9,
    "at_delivery": 6,
    "returning": 3,
}


@dataclass(frozen=True, slots=True)
class Run:
    """The current run of a driver: its lane, departure and arrival."""

    lane: lane_network.Lane
    status: str
    departed_at: datetime
    arrives_at: datetime
    progress: float  # share of the lane, 0…1


@dataclass(slots=True)
class DemoOrganization:
    """The people and places of one organisation."""

    id: uuid.UUID
    prefix: str
    rng: random.Random
    now: datetime
    places: Mapping[str, Location]
    customers: list[Customer] = field(default_factory=list)
    drivers: list[Driver] = field(default_factory=list)
    runs: dict[uuid.UUID, Run] = field(default_factory=dict)
    # Drivers by the state of the freight that they carry.
    drivers_by_status: dict[str, list[Driver]] = field(default_factory=dict)
    dispatchers: list[tuple[uuid.UUID, str]] = field(default_factory=list)  # id and name

    def new_id(self, at: datetime) -> uuid.UUID:
        """Return a UUIDv7 of that time, its random bits from the seed."""
        return seeded_id(self.rng, at)


def seeded_id(rng: random.Random, at: datetime) -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562) whose random bits come from `rng`."""
    milliseconds = int(at.timestamp() * 1000)
    bits = rng.getrandbits(74)
    number = milliseconds << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & (1 << 62) - 1
    return uuid.UUID(int=number)


def populate(organization: DemoOrganization, *, drivers: int) -> None:
    """Add customers and drivers; every fifth driver has no run."""
    organization.customers = [_customer(organization, name) for name in names.CUSTOMERS]
    lanes = list(lane_network.lanes().values())
    by_land = [lane for lane in lanes if lane.mode != "sea"]
    by_sea = [lane for lane in lanes if lane.mode == "sea"]
    for number in range(drivers):
        # The first driver is the one that can log in: always on the road.
        at_sea = number and organization.rng.random() < 0.4
        lane = organization.rng.choice(by_sea if at_sea else by_land)
        driver = _driver(organization, number, lane.mode)
        organization.drivers.append(driver)
        if number % 5 == 4 and number > 4:
            # Of ten drivers one is idle and one is absent.
            away = Driver.Status.OFF_DUTY if number % 20 == 9 else Driver.Status.INACTIVE
            driver.status = away if number % 10 == 9 else Driver.Status.ACTIVE
            continue
        # The first five have one state each, so that none is missing.
        status = (
            [*_STATUS_WEIGHTS][number]
            if number < 5
            else organization.rng.choices([*_STATUS_WEIGHTS], [*_STATUS_WEIGHTS.values()])[0]
        )
        organization.runs[driver.pk] = _run(organization, lane, status)
        organization.drivers_by_status.setdefault(status, []).append(driver)


def latest_positions(organization: DemoOrganization) -> list[DriverPosition]:
    """Return the latest position of each driver with a run, some seconds or minutes old."""
    rows = []
    for driver_id, run in organization.runs.items():
        latitude, longitude = run.lane.at(run.progress)
        rows.append(
            DriverPosition(
                driver_id=driver_id,
                latitude=round(latitude, 5),
                longitude=round(longitude, 5),
                recorded_at=organization.now - timedelta(seconds=organization.rng.randrange(5, 600)),
            )
        )
    return rows


def position_history(organization: DemoOrganization, latest: list[DriverPosition]) -> list[Position]:
    """Return the stored positions behind the latest ones: each latest position is a stored one too."""
    return [
        Position(
            driver_id=each.driver_id,
            recorded_at=each.recorded_at,
            received_at=organization.now,
            latitude=each.latitude,
            longitude=each.longitude,
        )
        for each in latest
    ]


def place_columns(place: Location, prefix: str) -> dict[str, Any]:
    """Return the columns of a place that `representation` needs in a row."""
    return {f"{prefix}__{column}": getattr(place, column) for column in representation.PLACE_COLUMNS}


def _run(organization: DemoOrganization, lane: lane_network.Lane, status: str) -> Run:
    span = timedelta(days=lane.days)
    share = {
        "in_transit": organization.rng.uniform(0.05, 0.9),
        "at_facility": organization.rng.uniform(0.3, 0.8),
        "out_for_delivery": organization.rng.uniform(0.97, 0.995),
        "at_delivery": 1.0,
        "returning": organization.rng.uniform(0.4, 0.9),
    }[status]
    departed_at = (organization.now - span * share - timedelta(minutes=organization.rng.randrange(10, 90))).replace(
        microsecond=0
    )
    late = timedelta(hours=organization.rng.choice((0, 0, 0, 0, 1, 2, 5)))
    arrives_at = max(departed_at + span, organization.now + timedelta(minutes=20)) + late
    return Run(lane, status, departed_at, arrives_at.replace(minute=arrives_at.minute // 5 * 5, second=0), share)


def _customer(organization: DemoOrganization, name: str) -> Customer:
    since = organization.now - timedelta(days=organization.rng.randrange(60, 900))
    number = organization.rng.randrange(10**6, 10**7)
    return Customer(
        id=organization.new_id(since), organization_id=organization.id, name=name,
        created_at=since, updated_at=since,
        email=f"freight-{number}@customer.example", phone=f"{organization.rng.choice(names.DIALS)} {number}",
    )  # fmt: skip


def _driver(organization: DemoOrganization, number: int, mode: str) -> Driver:
    rng = organization.rng
    since = organization.now - timedelta(days=rng.randrange(50, 1500))
    name = names.DRIVERS[number % len(names.DRIVERS)]
    if number >= len(names.DRIVERS):
        name = f"{name} {number // len(names.DRIVERS) + 1}"
    vehicle = {
        "sea": f"MV {rng.choice(names.VESSELS)}",
        "rail": f"Train {rng.randrange(40000, 49999)}",
        "road": f"{rng.choice(names.TRUCKS)} · {rng.randrange(1, 99)}-{rng.choice('BDFGHJKL')}"
        f"{rng.choice('LMNPRSTV')}-{rng.randrange(100, 999)}",
    }[mode]
    return Driver(
        id=organization.new_id(since), organization_id=organization.id, name=name,
        created_at=since, updated_at=since,
        phone=f"{rng.choice(names.DIALS)} {rng.randrange(10**6, 10**7)}", vehicle=vehicle,
        license_number=f"{rng.choice('ABCDEH')}{rng.randrange(10**8, 10**9)}",
    )  # fmt: skip
