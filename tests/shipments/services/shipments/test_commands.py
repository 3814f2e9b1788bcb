"""Commands: state, event and audit entry in one transaction, or none of them."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from shipments import services
from shipments.domain import lifecycle
from shipments.domain.versions import Version
from shipments.models import AuditEntry, EventType, Shipment, ShipmentEvent
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of, fold, snapshot_of

pytestmark = pytest.mark.django_db


def test_booking_writes_state_event_and_audit() -> None:
    by = factories.member(factories.organization(), "dispatcher")

    shipment = factories.booked_shipment(by, reference="BOL-1")

    assert (shipment.seq, shipment.status) == (1, "booked")
    assert [(e["seq"], e["type"], e["status"]) for e in events_of(shipment)] == [(1, "created", "booked")]
    entry = AuditEntry.objects.get(organization_id=by.organization_id, entity="shipment")
    assert (entry.action, entry.entity_id, entry.actor_id) == ("create", "BOL-1", by.user_id)


def test_the_log_folds_to_the_snapshot_whatever_happened() -> None:
    by = factories.member(org := factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by, planned_delivery_at=NOW + timedelta(days=3))
    change: dict[str, Any] = {"reference": shipment.reference, "by": by}
    services.amend(**change, now=NOW, changes={"driver_id": factories.driver(org).pk, "notes": "fragile"})
    services.advance(**change, now=NOW, to="dispatched")
    services.amend(**change, now=NOW, changes={"eta": NOW + timedelta(days=4), "pieces": 3})
    services.advance(**change, now=NOW, to="in_transit", location="NLRTM", note="left the port")
    services.advance(**change, now=NOW + timedelta(days=1), to="delivered", occurred_at=NOW)

    events = events_of(shipment)

    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert fold(events) == snapshot_of(shipment)


def test_every_prefix_of_the_log_folds_to_what_was_shown_then() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by, status="draft")
    snapshots = [snapshot_of(shipment)]
    services.amend(by=by, now=NOW, reference=shipment.reference, changes={"customer_id": factories.customer(
        shipment.organization).pk})  # fmt: skip
    snapshots.append(snapshot_of(shipment))
    services.advance(by=by, now=NOW, reference=shipment.reference, to="booked")
    snapshots.append(snapshot_of(shipment))

    events = events_of(shipment)

    assert [fold(events[:n]) for n in (1, 2, 3)] == snapshots


def test_notes_and_phones_never_reach_the_log() -> None:
    by = factories.member(org := factories.organization(), "dispatcher")
    driver = factories.driver(org, phone="+1 555 0100")
    shipment = factories.booked_shipment(by, notes="the old safe code", driver_id=driver.pk)

    services.amend(by=by, now=NOW, reference=shipment.reference, changes={"notes": "the new safe code"})

    logged = str(events_of(shipment))
    assert [secret for secret in ("safe code", "555 0100", "phone", "notes") if secret in logged] == []


def test_advancing_to_the_current_state_writes_nothing() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    again = services.advance(by=by, now=NOW, reference=shipment.reference, to="booked")

    assert again.seq == 1
    assert len(events_of(shipment)) == 1


def test_an_amendment_without_a_change_writes_nothing() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by, pieces=4)

    again = services.amend(by=by, now=NOW, reference=shipment.reference, changes={"pieces": 4})

    assert again.seq == 1


def test_an_illegal_command_leaves_no_trace() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    with pytest.raises(lifecycle.IllegalTransition):
        services.advance(by=by, now=NOW, reference=shipment.reference, to="delivered")

    assert snapshot_of(shipment)["seq"] == 1
    assert AuditEntry.objects.filter(organization_id=by.organization_id).count() == 1


def test_a_stale_write_is_refused() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    services.advance(by=by, now=NOW, reference=shipment.reference, to="dispatched")

    with pytest.raises(services.StaleWrite) as refusal:
        services.amend(
            by=by, now=NOW, reference=shipment.reference, changes={"pieces": 1}, expected_version=Version(1)
        )

    assert refusal.value.seq == 2


def test_a_reference_is_taken_whatever_its_case() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    factories.booked_shipment(by, reference="abc-1")

    with pytest.raises(services.DuplicateReference):
        factories.booked_shipment(by, reference="ABC-1")


def test_a_discarded_draft_frees_its_reference_and_keeps_its_log() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    draft = factories.booked_shipment(by, reference="D-1", status="draft")

    services.discard(by=by, now=NOW, reference="d-1")

    assert [event["type"] for event in events_of(draft)] == ["created", "deleted"]
    assert factories.booked_shipment(by, reference="D-1").seq == 1


def test_only_a_draft_can_be_discarded() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    with pytest.raises(services.NotADraft):
        services.discard(by=by, now=NOW, reference=shipment.reference)


def test_another_organisations_shipment_is_not_there() -> None:
    shipment = factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))
    stranger = factories.member(factories.organization(), "dispatcher")

    with pytest.raises(services.ShipmentNotFound):
        services.advance(by=stranger, now=NOW, reference=shipment.reference, to="dispatched")


@pytest.mark.parametrize("role", ["driver", "customer"])
def test_others_shipments_are_not_there_for_restricted_roles(role: str) -> None:
    by = factories.member(org := factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    with pytest.raises(services.ShipmentNotFound):
        services.advance(by=factories.member(org, role), now=NOW, reference=shipment.reference, to="dispatched")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE shipments_shipment SET status = 'delivered' WHERE id = %s",
        "UPDATE shipments_shipment SET notes = 'x' WHERE id = %s",
        "UPDATE shipments_shipment SET seq = seq + 2, status = 'delivered' WHERE id = %s",
        "UPDATE shipments_shipment SET reference = 'other', seq = seq + 1 WHERE id = %s",
        "DELETE FROM shipments_shipment WHERE id = %s",
        "UPDATE shipments_shipmentevent SET status = 'lost' WHERE shipment_id = %s",
        "DELETE FROM shipments_shipmentevent WHERE shipment_id = %s",
    ],
)
def test_the_database_refuses_writes_that_bypass_the_services(sql: str) -> None:
    shipment = factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, [shipment.pk])


def test_the_database_refuses_a_seq_without_its_event() -> None:
    shipment = factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))

    with pytest.raises(DatabaseError, match="has no event for seq 2"), transaction.atomic():
        Shipment.objects.filter(pk=shipment.pk).update(seq=2, pieces=9)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize("ahead", [[2], [3, 2], [2, 3, 4]])
def test_the_database_refuses_events_ahead_of_their_shipment(ahead: list[int]) -> None:
    shipment = factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))
    event = ShipmentEvent.objects.get(shipment=shipment)

    with pytest.raises(DatabaseError, match="runs ahead"), transaction.atomic():
        for seq in ahead:
            ShipmentEvent(
                organization_id=event.organization_id, shipment=shipment, seq=seq, type=EventType.AMENDED,
                status="booked", occurred_at=NOW, recorded_at=NOW, actor_role="system",
            ).save(force_insert=True)  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_commit_with_many_events_of_one_shipment_looks_it_up_once() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    with transaction.atomic():
        for pieces in range(2, 42):
            services.amend(by=by, now=NOW, reference=shipment.reference, changes={"pieces": pieces})
        with connection.cursor() as cursor:
            read = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'shipments_shipment'"
            cursor.execute(read)
            before = cursor.fetchone()[0]

            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

            cursor.execute(read)
            assert cursor.fetchone()[0] - before <= 2


@pytest.mark.parametrize("statement", ["UPDATE {} SET request_id = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_audit_is_append_only(statement: str) -> None:
    factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement.format("shipments_auditentry"))


def test_a_command_takes_effect_when_it_is_accepted() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    moved = services.advance(
        by=by, now=NOW + timedelta(hours=2), reference=shipment.reference, to="dispatched",
        occurred_at=NOW - timedelta(days=1),
    )  # fmt: skip

    assert moved.effective_at == NOW
