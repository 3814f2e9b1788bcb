"""Demo data of two organisations: people, places, drivers en route, and shipments with their histories."""

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
# Average number of events per shipment of the shortest and of the longest histories (measured).
SHORTEST, FULLEST = 3.9, 8.8
_WINDOW: Final = timedelta(days=45)
_CHUNK: Final = 2_000


@dataclass(frozen=True, slots=True)
class SeedResult:
    """How many rows were stored."""

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

    `events` is the requested average per shipment, clamped to SHORTEST…FULLEST. Raises loader.InvariantBroken.
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


# Filled beside the loader's tables, and analysed for the query planner too.
_OTHER_TABLES: Final = (
    "shipments_driver",
    "shipments_customer",
    "shipments_driverposition",
    "shipments_position",
    "shipments_unnumberedevent",
    "shipments_unlinkedentry",
)


def _rng(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}:{name}")  # noqa: S311  reproducible demo data


def _organization(
    name: str, slug: str, prefix: str, accounts: tuple[Account, ...], shipments: int, events: float,
    rng: random.Random, now: datetime, progress: Callable[[int], None],
) -> tuple[int, int]:  # fmt: skip
    founded_at = now - timedelta(days=1600)
    row = Organization.objects.create(
        id=demo_organization.seeded_id(rng, founded_at), name=name, slug=slug, created_at=founded_at
    )
    organization = DemoOrganization(row.pk, prefix, rng, now, _places())
    demo_organization.populate(organization, drivers=min(max(shipments // 12, 20), 5_000))
    Customer.objects.bulk_create(organization.customers)
    Driver.objects.bulk_create(organization.drivers)
    latest = DriverPosition.objects.bulk_create(demo_organization.latest_positions(organization))
    Position.objects.bulk_create(demo_organization.position_history(organization, latest))
    _accounts(organization, accounts)
    detail = min(max((events - SHORTEST) / (FULLEST - SHORTEST), 0.0), 1.0)
    return loader.load(
        _history_chunks(organization, shipments, detail),
        organization_id=row.pk,
        expected=shipments,
        progress=progress,
    )


def _places() -> dict[str, Location]:
    """Store the missing hubs in one statement; `services.resolve_place` would need one each."""
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
    return {
        place.locode: place
        for place in Location.objects.filter(organization=None, locode__in=codes)
        if place.locode
    }


@cache
def _password_hash() -> str:
    """Hash the password once for all accounts: it is public, and a hash takes 0.1 s."""
    return make_password(PASSWORD, salt="0f1e2d3c4b5a69788796a5b4c3d2e1f0")


def _accounts(organization: DemoOrganization, accounts: tuple[Account, ...]) -> None:
    for account in accounts:
        user = User.objects.create(
            id=organization.new_id(organization.now - timedelta(days=1000)), email=account.email, name=account.name,
            password=_password_hash(), is_staff=account.staff, is_superuser=account.staff,
        )  # fmt: skip
        Membership.objects.create(
            id=organization.new_id(organization.now - timedelta(days=1000)), user=user, role=account.role,
            organization_id=organization.id,
            customer=organization.customers[0] if account.role == Role.CUSTOMER else None,
            driver=organization.drivers[0] if account.role == Role.DRIVER else None,
        )  # fmt: skip
        if account.role == Role.DISPATCHER:
            organization.dispatchers.append((user.pk, user.name))


def _history_chunks(
    organization: DemoOrganization, shipments: int, detail: float
) -> Iterator[list[history.ShipmentHistory]]:
    """Yield the histories in chunks, the oldest shipment first."""
    newest = timedelta(minutes=20)
    step = (_WINDOW - newest) / max(shipments, 1)
    chunk: list[history.ShipmentHistory] = []
    for number in range(1, shipments + 1):
        created_at = organization.now - _WINDOW + step * (number - 1 + organization.rng.random())
        created_at = created_at.replace(microsecond=created_at.microsecond // 1000 * 1000)
        status = plans.choose_status(organization.rng, number=number, age=organization.now - created_at)
        chunk.append(
            history.generate(organization, number=number, created_at=created_at, status=status, detail=detail)
        )
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
