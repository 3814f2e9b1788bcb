"""The write path by itself: what `locked_shipment` refuses and what one `commit_change` writes."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from shipments.domain.versions import Version
from shipments.models import AuditEntry, EventType, Shipment
from shipments.services import ShipmentNotFound, StaleWrite, write
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of

pytestmark = pytest.mark.django_db

# Events of the organisation, not of one shipment: `log.record_organization_event` inserts them.
ORGANIZATION_EVENTS = {EventType.DRIVER_CHANGED, EventType.CUSTOMER_CHANGED}


def test_a_change_is_saved_recorded_and_audited_in_one_statement() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    with write.locked_shipment(shipment.reference, by=by) as locked:
        locked.pieces, locked.notes = 7, "not among the columns"
        with CaptureQueriesContext(connection) as queries:
            write.commit_change(
                locked, EventType.AMENDED, by=by, now=NOW, columns=("pieces",), changes={"pieces": 7},
                audit_before={"pieces": None}, audit_after={"pieces": 7}, note="counted",
            )  # fmt: skip

    assert len(queries) == 1
    stored = Shipment.objects.get(pk=shipment.pk)
    assert (stored.seq, stored.pieces, stored.notes, stored.updated_at) == (2, 7, "", NOW)
    event = events_of(shipment)[-1]
    assert (event["seq"], event["type"], event["data"]) == (
        2, "amended", {"changes": {"pieces": 7}, "note": "counted"},
    )  # fmt: skip
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.entity, entry.entity_id) == ("update", "shipment", shipment.reference)
    assert (entry.before, entry.after) == ({"pieces": None}, {"pieces": 7})


def test_every_kind_of_event_of_a_shipment_has_its_audit_action() -> None:
    assert set(EventType) - set(write.ACTION_OF) == ORGANIZATION_EVENTS
    assert write.ACTION_OF == {
        "created": "create", "transitioned": "transition", "amended": "update", "deleted": "delete",
        "flagged": "flag", "unflagged": "unflag", "observed": "observe", "voided": "void", "proven": "prove",
    }  # fmt: skip


def test_a_block_left_without_a_commit_writes_nothing() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    with write.locked_shipment(shipment.reference, by=by) as locked:
        locked.pieces = 7

    assert Shipment.objects.get(pk=shipment.pk).pieces is None
    assert len(events_of(shipment)) == 1


def test_a_missing_shipment_and_a_stale_version_are_refused() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    stranger = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    with pytest.raises(ShipmentNotFound), write.locked_shipment("NONE", by=by):
        raise AssertionError
    with pytest.raises(ShipmentNotFound), write.locked_shipment(shipment.reference, by=stranger):
        raise AssertionError
    with (
        pytest.raises(StaleWrite) as refusal,
        write.locked_shipment(shipment.reference, by=by, expected_version=Version(3)),
    ):
        raise AssertionError

    assert refusal.value.seq == 1


def test_the_block_is_a_savepoint_unless_it_refuses_before_it_writes() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)

    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        with write.locked_shipment(shipment.reference, by=by):
            pass
        with write.locked_shipment(shipment.reference, by=by, savepoint=False):
            pass

    assert [query["sql"].split()[0] for query in queries] == ["SAVEPOINT", "SELECT", "RELEASE", "SELECT"]


def test_a_snapshot_diff_says_what_was_and_what_is() -> None:
    before = {"pieces": 1, "eta": None, "status": "booked"}

    assert write.snapshot_diff(before, before | {"pieces": 2}) == ({"pieces": 1}, {"pieces": 2})
    assert write.snapshot_diff(before, before) == ({}, {})
