"""The log's one way in: `record` (or `write`, for many) inside the transaction, the hints after it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NotRequired, TypedDict, Unpack

from django.db import transaction

from shipments import metrics, representation, signals, statements
from shipments.access import Subject
from shipments.models import AuditEntry, Location, Shipment, ShipmentEvent


class Explanation(TypedDict):
    """What an event says beside its shipment.

    `changes` stands in the fields of the public snapshot. What is in `changes`, `note` or beside them is shown to
    everybody who may see the shipment. `effective_at` is an accepted command's place in the fold of the status.
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


class Act(TypedDict):
    """What an audit entry says: who did what to which entity, and what that changed."""

    by: Subject
    now: datetime
    action: str
    entity: str
    entity_id: NotRequired[object]
    before: NotRequired[Mapping[str, Any] | None]
    after: NotRequired[Mapping[str, Any] | None]
    outcome: NotRequired[str]


def record(shipment: Shipment, **explanation: Unpack[Explanation]) -> ShipmentEvent:
    """This will insert the event that explains `shipment.seq` and send its hint after COMMIT.

    The caller holds the row lock, has saved the shipment with `seq` bumped by one in this same transaction.
    """
    event = event_of(shipment, **explanation)
    write([event], [])
    return event


def event_of(shipment: Shipment, **explanation: Unpack[Explanation]) -> ShipmentEvent:
    """This will return the event that explains `shipment.seq`, to be written."""
    by, note = explanation["by"], explanation.get("note")
    data: dict[str, Any] = {"changes": dict(explanation["changes"])}
    if note:
        data["note"] = note
    for name in ("checkpoint", "proof"):
        if beside := explanation.get(name):
            data[name] = dict(beside)  # type: ignore[call-overload]
    return ShipmentEvent(
        organization_id=shipment.organization_id,
        shipment=shipment,
        seq=shipment.seq,
        type=explanation["type"],
        status=shipment.status,
        occurred_at=explanation["occurred_at"],
        recorded_at=explanation["now"],
        effective_at=explanation.get("effective_at"),
        location=explanation.get("location"),
        actor_role=by.role,
        actor_id=by.user_id,
        data=data,
    )


def write(events: Sequence[ShipmentEvent], entries: Sequence[AuditEntry]) -> None:
    """This will insert events and audit entries, a statement a table, and send the events' hints after COMMIT.

    It stands in the transaction that has saved the events' shipments, as those objects show them.
    """
    if len(events) == 1:
        statements.insert(events[0])
    else:
        ShipmentEvent.objects.bulk_create(events)
    AuditEntry.objects.bulk_create(entries)
    for event in events:
        assert event.shipment is not None  # noqa: S101  those of the organisation go another way
        transaction.on_commit(partial(_hint, event, _summary(event.shipment)), robust=True)


def record_of_organization(*, type: str, by: Subject, now: datetime, changed: Mapping[str, Any]) -> ShipmentEvent:  # noqa: A002
    """This will insert an event of the organisation's feed, inside the caller's transaction.

    It says that what is shown beside many shipments (a driver's or customer's name) has changed; `changed` is
    shown to everybody who may read the feed.
    """
    event = ShipmentEvent(
        organization_id=by.organization_id,
        shipment=None,
        seq=0,
        type=type,
        occurred_at=now,
        recorded_at=now,
        actor_role=by.role,
        actor_id=by.user_id,
        data={"changes": dict(changed)},
    )
    statements.insert(event)
    transaction.on_commit(metrics.events.labels(type).inc, robust=True)
    return event


def entry_of(**act: Unpack[Act]) -> AuditEntry:
    """This will return an audit entry, to be written."""
    by = act["by"]
    return AuditEntry(
        organization_id=by.organization_id,
        at=act["now"],
        actor_role=by.role,
        actor_id=by.user_id,
        actor_name=by.key_name or by.name,
        action=act["action"],
        entity=act["entity"],
        entity_id=str(act.get("entity_id", "")),
        before=act.get("before"),
        after=act.get("after"),
        address=by.address,
        request_id=by.request_id,
        outcome=act.get("outcome", AuditEntry.Outcome.DONE),
    )


def audit(**act: Unpack[Act]) -> AuditEntry:
    """This will insert one audit entry, inside the caller's transaction where it has one."""
    entry = entry_of(**act)
    statements.insert(entry)
    return entry


def event_row(event: ShipmentEvent) -> dict[str, Any]:
    """This will return the row from which `representation.event` is made, without a query."""
    place = event.location
    row = {name: getattr(event, name) for name in representation.EVENT_COLUMNS if "__" not in name}
    for column in ("locode", "name", "country", "latitude", "longitude"):
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


def _hint(event: ShipmentEvent, summary: dict[str, Any]) -> None:
    metrics.events.labels(event.type).inc()
    signals.event_committed.send_robust(
        sender=ShipmentEvent, event=representation.event(event_row(event)), shipment=summary,
        organization_id=event.organization_id, shipment_id=event.shipment_id,
    )  # fmt: skip
