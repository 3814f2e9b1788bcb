"""Since when a shipment is under way with its driver: the column that decides which positions customers see."""

import importlib
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import Checkpoint, Organization, Shipment
from tests import factories
from tests.factories import NOW

BACKFILL: Any = importlib.import_module("shipments.migrations.0016_underway_since_of_the_log")


def hours(number: int) -> datetime:
    return NOW + timedelta(hours=number)


@pytest.fixture
def organization(db: None) -> Organization:
    return factories.organization()


@pytest.fixture
def dispatcher(organization: Organization) -> Subject:
    return factories.member(organization, "dispatcher")


@pytest.fixture
def shipment(dispatcher: Subject, organization: Organization) -> Shipment:
    return factories.booked_shipment(dispatcher, driver_id=factories.driver(organization).pk)


def advance(by: Subject, shipment: Shipment, *states: str, first_hour: int = 1) -> None:
    """Advance by one state an hour."""
    for number, state in enumerate(states):
        services.advance(by=by, now=hours(first_hour + number), reference=shipment.reference, to=state)


def underway_since(shipment: Shipment) -> datetime | None:
    since: datetime | None = Shipment.objects.values_list("underway_since", flat=True).get(pk=shipment.pk)
    return since


def observe(by: Subject, shipment: Shipment, state: str, *, hour: int, occurred: int) -> Checkpoint:
    checkpoint, _ = services.observe(
        by=by, now=hours(hour), reference=shipment.reference,
        observation=services.Observation(
            classifier="ACT", occurred_at=hours(occurred), source="carrier", state=state
        ),
    )  # fmt: skip
    return checkpoint


def test_a_shipment_is_under_way_from_the_command_that_takes_it_until_it_is_delivered(
    dispatcher: Subject, shipment: Shipment
) -> None:
    seen = []
    for number, state in enumerate(("dispatched", "at_pickup", "in_transit", "out_for_delivery", "delivered")):
        advance(dispatcher, shipment, state, first_hour=number)
        seen.append(underway_since(shipment))

    assert seen == [None, None, hours(2), hours(2), None]


def test_a_time_before_the_command_does_not_count(dispatcher: Subject, shipment: Shipment) -> None:
    advance(dispatcher, shipment, "dispatched")
    services.advance(
        by=dispatcher, now=hours(5), reference=shipment.reference, to="in_transit", occurred_at=hours(2)
    )

    assert underway_since(shipment) == hours(5)


def test_another_driver_begins_anew(dispatcher: Subject, organization: Organization, shipment: Shipment) -> None:
    advance(dispatcher, shipment, "dispatched", "in_transit")
    other = factories.driver(organization, name="Otto Other")

    services.amend(by=dispatcher, now=hours(7), reference=shipment.reference, changes={"pieces": 3})
    unchanged = underway_since(shipment)
    services.amend(by=dispatcher, now=hours(8), reference=shipment.reference, changes={"driver_id": other.pk})

    assert (unchanged, underway_since(shipment)) == (hours(2), hours(8))


def test_without_a_driver_no_position_counts(dispatcher: Subject) -> None:
    shipment = factories.booked_shipment(dispatcher)

    observe(dispatcher, shipment, "in_transit", hour=1, occurred=1)

    assert underway_since(shipment) is None


def test_observations_and_their_voiding_count_like_commands(dispatcher: Subject, shipment: Shipment) -> None:
    observe(dispatcher, shipment, "in_transit", hour=1, occurred=0)
    delivered = observe(dispatcher, shipment, "delivered", hour=3, occurred=3)
    after_delivery = underway_since(shipment)

    services.void_checkpoint(
        by=dispatcher, now=hours(4), reference=shipment.reference, checkpoint_id=delivered.pk, reason="wrong parcel"
    )

    assert (after_delivery, underway_since(shipment)) == (None, hours(4))


def test_the_way_back_is_another_span(dispatcher: Subject, shipment: Shipment) -> None:
    advance(dispatcher, shipment, "dispatched", "in_transit", "delivered", "returning", first_hour=0)
    returning = underway_since(shipment)
    advance(dispatcher, shipment, "returned", first_hour=6)

    assert (returning, underway_since(shipment)) == (hours(3), None)


def test_a_change_heals_what_an_older_process_left_behind(dispatcher: Subject, shipment: Shipment) -> None:
    advance(dispatcher, shipment, "dispatched", "in_transit")
    forget([shipment])

    services.open_flag(by=dispatcher, now=hours(9), reference=shipment.reference, flag="damaged")

    assert underway_since(shipment) == hours(9)


# -- the migration that fills it from the log ------------------------------------------------------------------


def forget(shipments: list[Shipment]) -> None:
    """Make the rows what they were before the column existed."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for guard in BACKFILL.GUARDS:
            cursor.execute(f"ALTER TABLE shipments_shipment DISABLE TRIGGER {guard}")
        ids = [each.pk for each in shipments]
        cursor.execute("UPDATE shipments_shipment SET underway_since = NULL WHERE id = ANY(%s)", [ids])
        for guard in BACKFILL.GUARDS:
            cursor.execute(f"ALTER TABLE shipments_shipment ENABLE TRIGGER {guard}")


def test_the_migration_finds_in_the_log_what_the_services_store(
    dispatcher: Subject, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, other = factories.driver(organization), factories.driver(organization, name="Otto Other")
    ways = {
        "booked": (),
        "once": ("dispatched", "in_transit", "at_facility"),
        "twice": ("dispatched", "in_transit", "delivered", "returning"),
        "done": ("dispatched", "in_transit", "delivered"),
        "waits": ("dispatched", "in_transit", "available_for_pickup"),
    }
    shipments = [factories.booked_shipment(dispatcher, driver_id=driver.pk) for _ in ways]
    for shipment, states in zip(shipments, ways.values(), strict=True):
        advance(dispatcher, shipment, *states)
    reassigned = factories.booked_shipment(dispatcher, driver_id=driver.pk)
    advance(dispatcher, reassigned, "dispatched", "in_transit")
    services.amend(by=dispatcher, now=hours(8), reference=reassigned.reference, changes={"driver_id": other.pk})
    shipments.append(reassigned)
    stored = [underway_since(each) for each in shipments]
    forget(shipments)
    monkeypatch.setattr(BACKFILL, "BATCH", 2)

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    BACKFILL.fill(apps, connection.schema_editor())

    assert [underway_since(each) for each in shipments] == stored
    assert stored == [None, hours(2), hours(4), None, None, hours(8)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shipments_shipment'::regclass AND tgenabled <> 'O'"
        )
        assert cursor.fetchone() == (0,)
