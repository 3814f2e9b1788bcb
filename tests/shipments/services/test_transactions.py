"""What COMMIT does and ROLLBACK does not: real transactions."""

from typing import Any

import pytest
from django.db import connection, transaction

from shipments import services, signals
from shipments.models import AuditEntry
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of, snapshot_of


def test_a_rolled_back_call_leaves_neither_state_event_audit_nor_message(committed: None) -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    received: list[object] = []

    def listen(**kwargs: object) -> None:
        received.append(kwargs["event"])

    signals.event_committed.connect(listen)
    try:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            services.advance(by=by, now=NOW, reference=shipment.reference, to="dispatched")
            raise ZeroDivisionError
    finally:
        signals.event_committed.disconnect(listen)

    assert snapshot_of(shipment)["status"] == "booked"
    assert len(events_of(shipment)) == 1
    assert AuditEntry.objects.filter(organization_id=by.organization_id).count() == 1
    assert received == []


def test_a_committed_call_is_announced_once_after_commit(committed: None) -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    received: list[tuple[int, str, int]] = []

    def listen(*, event: dict[str, Any], shipment: dict[str, Any], **_: object) -> None:
        received.append((event["seq"], shipment["status"], len(connection.savepoint_ids)))

    signals.event_committed.connect(listen)
    try:
        services.advance(by=by, now=NOW, reference=shipment.reference, to="dispatched")
    finally:
        signals.event_committed.disconnect(listen)

    assert received == [(2, "dispatched", 0)]


def test_the_announced_event_is_the_one_in_the_log(committed: None) -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    received: list[dict[str, Any]] = []

    def listen(*, event: dict[str, Any], **_: object) -> None:
        received.append(event)

    signals.event_committed.connect(listen)
    try:
        services.advance(
            by=by, now=NOW, reference=shipment.reference, to="dispatched", location="NLRTM", note="gate 4"
        )
    finally:
        signals.event_committed.disconnect(listen)

    assert received == events_of(shipment)[1:]
