"""The event log, which is the outbox too, and the audit trail: the only way into both.

Rows are inserted inside the transaction of the change; the signal of an event is sent after COMMIT.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NotRequired, TypedDict, Unpack

from django.db import transaction

from shipments import metrics, representation, signals
from shipments.auth.subjects import Subject
from shipments.compiled_sql import writes
from shipments.models import AuditEntry, Location, Shipment, ShipmentEvent


class EventFields(TypedDict):
    """The fields of an event beside its shipment.

    `changes` has the keys of the public snapshot. All of them are shown to everyone who may see the shipment.
    `effective_at` is the place of an accepted command in the fold of the status.
    """

    type: str
    by: Subject
    now: datetime
    occurred_at: datetime
    changes: Mapping[str, Any]
    effective_at: NotRequired[datetime | None]
    location: NotRequired[Location | None]
    note: NotRequired[str]
    checkpoint: NotRequired[Mapping[str, Any] | None]
    proof: NotRequired[Mapping[str, Any] | None]
    voided: NotRequired[Mapping[str, Any] | None]


class AuditFields(TypedDict):
    """The fields of an audit entry: who did what to which entity, and what that changed."""

    by: Subject
    now: datetime
    action: str
    entity: str
    entity_id: NotRequired[object]
    before: NotRequired[Mapping[str, Any] | None]
    after: NotRequired[Mapping[str, Any] | None]
    outcome: NotRequired[str]


def record(shipment: Shipment, **fields: Unpack[EventFields]) -> ShipmentEvent:
    """Insert the event with the number `shipment.seq`, and send `signals.event_committed` after COMMIT.

    The caller holds the row lock, and has saved the shipment with `seq` bumped by one in the same transaction.
    """
    event = build_event(shipment, **fields)
    insert_events_and_audit([event], [])
    return event


def build_event(shipment: Shipment, **fields: Unpack[EventFields]) -> ShipmentEvent:
    """Return the unsaved event with the number `shipment.seq`."""
    by, note = fields["by"], fields.get("note")
    data: dict[str, Any] = {"changes": dict(fields["changes"])}
    if note:
        data["note"] = note
    for name in ("checkpoint", "proof", "voided"):
        if extra := fields.get(name):
            data[name] = dict(extra)  # type: ignore[call-overload]  # the value of a loop over TypedDict keys
    return ShipmentEvent(
        organization_id=shipment.organization_id,
        shipment=shipment,
        seq=shipment.seq,
        type=fields["type"],
        status=shipment.status,
        occurred_at=fields["occurred_at"],
        recorded_at=fields["now"],
        effective_at=fields.get("effective_at"),
        location=fields.get("location"),
        **_actor_columns(by),
        data=data,
    )


def _actor_columns(by: Subject) -> dict[str, Any]:
    """Return what an event stores of who made the change, and of the request."""
    return {
        "actor_role": by.role,
        "actor_id": by.user_id,
        "actor_key_id": by.key_id,
        "actor_key_name": by.key_name if by.key_id else None,
        "request_id": by.request_id or None,
    }


def insert_events_and_audit(events: Sequence[ShipmentEvent], entries: Sequence[AuditEntry]) -> None:
    """Insert events and audit entries, one statement a table, and send the events' signals after COMMIT.

    Must run in the transaction that has saved the events' shipments, whose objects have the saved values.
    """
    if len(events) == 1:
        writes.insert(events[0])
    else:
        ShipmentEvent.objects.bulk_create(events)
    AuditEntry.objects.bulk_create(entries)
    for event in events:
        assert event.shipment is not None  # noqa: S101  `build_event` sets it
        transaction.on_commit(partial(_publish_event, event, _summary(event.shipment)), robust=True)


def record_organization_event(
    *,
    type: str,  # noqa: A002  the name of the column
    by: Subject,
    now: datetime,
    changes: Mapping[str, Any],
) -> ShipmentEvent:
    """Insert an event of the organisation, which is in its feed alone, in the caller's transaction.

    It reports a change of what is shown with many shipments, such as a driver's name. `changes` is shown to
    everyone who may read the feed.
    """
    event = ShipmentEvent(
        organization_id=by.organization_id,
        shipment=None,
        seq=0,
        type=type,
        occurred_at=now,
        recorded_at=now,
        **_actor_columns(by),
        data={"changes": dict(changes)},
    )
    writes.insert(event)
    transaction.on_commit(partial(_publish_organization_event, event), robust=True)
    return event


def build_audit_entry(**fields: Unpack[AuditFields]) -> AuditEntry:
    """Return an unsaved audit entry."""
    by = fields["by"]
    return AuditEntry(
        organization_id=by.organization_id,
        at=fields["now"],
        actor_role=by.role,
        actor_id=by.user_id,
        actor_name=by.key_name or by.name,
        action=fields["action"],
        entity=fields["entity"],
        entity_id=str(fields.get("entity_id", "")),
        before=fields.get("before"),
        after=fields.get("after"),
        address=by.address,
        request_id=by.request_id,
        outcome=fields.get("outcome", AuditEntry.Outcome.DONE),
    )


def record_audit(**fields: Unpack[AuditFields]) -> AuditEntry:
    """Insert one audit entry, in the caller's transaction if there is one."""
    entry = build_audit_entry(**fields)
    writes.insert(entry)
    return entry


def event_row(event: ShipmentEvent) -> dict[str, Any]:
    """Return an event as the row that `representation.event` takes; no query."""
    place = event.location
    row = {name: getattr(event, name) for name in representation.EVENT_COLUMNS if "__" not in name}
    for column in representation.PLACE_COLUMNS:
        row[f"location__{column}"] = getattr(place, column) if place else None
    return row


def _summary(shipment: Shipment) -> dict[str, Any]:
    return representation.summary(
        {
            "id": str(shipment.pk),
            "reference": shipment.reference,
            "status": shipment.status,
            "eta": representation.instant(shipment.eta),
            "deliveredAt": representation.instant(shipment.delivered_at),
            "flags": shipment.flags,
            "updatedAt": representation.instant(shipment.updated_at),
        }
    )


def _publish_event(event: ShipmentEvent, summary: dict[str, Any]) -> None:
    metrics.events.labels(event.type).inc()
    signals.event_committed.send_robust(
        sender=ShipmentEvent, event=representation.event(event_row(event), "staff"), shipment=summary,
        organization_id=event.organization_id, shipment_id=event.shipment_id,
    )  # fmt: skip


def _publish_organization_event(event: ShipmentEvent) -> None:
    metrics.events.labels(event.type).inc()
    signals.organization_event_committed.send_robust(sender=ShipmentEvent, organization_id=event.organization_id)
