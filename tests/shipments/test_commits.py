"""What a COMMIT does and a ROLLBACK does not: real transactions."""

from typing import Any

import pytest
from django.db import connection, transaction

from shipments import services, signals
from shipments.models import AuditEntry
from tests import factories
from tests.factories import NOW
from tests.shipments.logs import events_of, snapshot_of


def test_a_rolled_back_call_leaves_neither_state_event_audit_nor_message(committed: None) -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked(by)
    heard: list[object] = []

    def listen(**told: object) -> None:
        heard.append(told["event"])

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
    assert heard == []


def test_a_committed_call_is_told_once_after_commit(committed: None) -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked(by)
    heard: list[tuple[int, str, int]] = []

    def listen(*, event: dict[str, Any], shipment: dict[str, Any], **_: object) -> None:
        heard.append((event["seq"], shipment["status"], len(connection.savepoint_ids)))

    signals.event_committed.connect(listen)
    try:
        services.advance(by=by, now=NOW, reference=shipment.reference, to="dispatched")
    finally:
        signals.event_committed.disconnect(listen)

    assert heard == [(2, "dispatched", 0)]


def test_the_frames_event_is_the_logs_event(committed: None) -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked(by)
    heard: list[dict[str, Any]] = []

    def listen(*, event: dict[str, Any], **_: object) -> None:
        heard.append(event)

    signals.event_committed.connect(listen)
    try:
        services.advance(
            by=by, now=NOW, reference=shipment.reference, to="dispatched", location="NLRTM", note="gate 4"
        )
    finally:
        signals.event_committed.disconnect(listen)

    assert heard == events_of(shipment)[1:]
