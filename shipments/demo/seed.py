"""Two organisations of demo data: people, places, drivers on the road, and shipments with their past."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from shipments.demo import history, lane_network, loader, plans
from shipments.demo import organization as demo_organization
from shipments.demo.accounts import DEMO_ACCOUNTS, PASSWORD, RIVAL_ACCOUNTS, Account
from shipments.demo.organization import DemoOrganization
from shipments.domain import locodes
from shipments.models import (
    Customer,
    Driver,
    DriverPosition,
    Location,
    Membership,
    Organization,
    Position,
    Role,
    User,
)

SLUG: Final = "demo"
RIVAL_SLUG: Final = "rival"
RIVAL_SHIPMENTS: Final = 50
# Average numbers of events per shipment that the shortest and the fullest histories come to (measured).
SHORTEST, FULLEST = 3.9, 8.8
_WINDOW: Final = timedelta(days=45)
_CHUNK: Final = 2_000


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What was stored."""

    organizations: int
    shipments: int
    events: int


def demo_shipment_count() -> int | None:
    """Return how many shipments the demo organisation has, None where there is no such organisation."""
    organization = Organization.objects.filter(slug=SLUG).first()
    return None if organization is None else organization.shipments.count()


def seed(
    *, shipments: int, events: float, seed: int, now: datetime, progress: Callable[[int], None] = lambda done: None
) -> SeedResult:
    """Store both organisations in one transaction; the same arguments give the same data.

    `events` is the wished average per shipment, kept between what the services allow. Raises loader.Broken.
    """
    with transaction.atomic():
        demo_counts = _organization(
            "Meridian Freight", SLUG, "SHIP", DEMO_ACCOUNTS, shipments, events,
            _rng(seed, SLUG), now, progress,
        )  # fmt: skip
        rival_counts = _organization(
            "Rival Lines", RIVAL_SLUG, "RIVAL", RIVAL_ACCOUNTS, RIVAL_SHIPMENTS, events,
            _rng(seed, RIVAL_SLUG), now, progress,
        )  # fmt: skip
    with connection.cursor() as cursor:
        for table in (*loader.TABLES, *_OTHER_TABLES):
            cursor.execute(f"ANALYZE {table}")
    return SeedResult(2, demo_counts[0] + rival_counts[0], demo_counts[1] + rival_counts[1])


# Filled beside the stories; the planner should know of these too.
_OTHER_TABLES: Final = (
    "shipments_driver",
    "shipments_customer",
    "shipments_driverposition",
    "shipments_position",
    "shipments_unnumberedevent",
    "shipments_unlinkedentry",
)


def _rng(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}:{name}")


def _organization(
    name: str, slug: str, prefix: str, accounts: tuple[Account, ...], shipments: int, events: float,
    rng: random.Random, now: datetime, progress: Callable[[int], None],
) -> tuple[int, int]:  # fmt: skip
    founded_at = now - timedelta(days=1600)
    organization = Organization.objects.create(
        id=demo_organization.seeded_id(rng, founded_at), name=name, slug=slug, created_at=founded_at
    )
    cast = DemoOrganization(organization.pk, prefix, rng, now, _places())
    demo_organization.populate(cast, drivers=min(max(shipments // 12, 20), 5_000))
    Customer.objects.bulk_create(cast.customers)
    Driver.objects.bulk_create(cast.drivers)
    latest = DriverPosition.objects.bulk_create(demo_organization.latest_positions(cast))
    Position.objects.bulk_create(demo_organization.position_history(cast, latest))
    _accounts(cast, accounts)
    detail = min(max((events - SHORTEST) / (FULLEST - SHORTEST), 0.0), 1.0)
    return loader.load(
        _history_chunks(cast, shipments, detail),
        organization_id=organization.pk,
        expected=shipments,
        progress=progress,
    )


def _places() -> dict[str, Location]:
    """Store what is missing of the hubs, as `services.resolve_place` would one by one."""
    codes = lane_network.hubs()
    entries = [entry for code in codes if (entry := locodes.find(code))]
    Location.objects.bulk_create(
        [
            Location(
                locode=entry.code, name=entry.name, country=entry.country, latitude=entry.latitude,
                longitude=entry.longitude,
            )
            for entry in entries
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    return {place.locode: place for place in Location.objects.filter(locode__in=codes) if place.locode}


@cache
def _password_hash() -> str:
    """Hash the password once for all accounts: it is public, and each hash takes a tenth of a second."""
    return make_password(PASSWORD, salt="0f1e2d3c4b5a69788796a5b4c3d2e1f0")


def _accounts(cast: DemoOrganization, accounts: tuple[Account, ...]) -> None:
    for account in accounts:
        user = User.objects.create(
            id=cast.new_id(cast.now - timedelta(days=1000)), email=account.email, name=account.name,
            password=_password_hash(), is_staff=account.staff, is_superuser=account.staff,
        )  # fmt: skip
        Membership.objects.create(
            id=cast.new_id(cast.now - timedelta(days=1000)), user=user, role=account.role,
            organization_id=cast.organization_id,
            customer=cast.customers[0] if account.role == Role.CUSTOMER else None,
            driver=cast.drivers[0] if account.role == Role.DRIVER else None,
        )  # fmt: skip
        if account.role == Role.DISPATCHER:
            cast.dispatchers.append((user.pk, user.name))


def _history_chunks(
    cast: DemoOrganization, shipments: int, detail: float
) -> Iterator[list[history.ShipmentHistory]]:
    """Tell one story after another, the oldest shipment first."""
    newest = timedelta(minutes=20)
    step = (_WINDOW - newest) / max(shipments, 1)
    chunk: list[history.ShipmentHistory] = []
    for number in range(1, shipments + 1):
        created_at = cast.now - _WINDOW + step * (number - 1 + cast.rng.random())
        created_at = created_at.replace(microsecond=created_at.microsecond // 1000 * 1000)
        status = plans.choose_status(cast.rng, number=number, age=cast.now - created_at)
        chunk.append(history.generate(cast, number=number, created_at=created_at, status=status, detail=detail))
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
