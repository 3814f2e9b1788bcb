"""The log's one way in: `record` inside the transaction, the hint after it."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from shipments import metrics, representation, signals
from shipments.access import Subject
from shipments.models import AuditEntry, Location, Shipment, ShipmentEvent


def record(
    shipment: Shipment,
    *,
    type: str,  # noqa: A002  the log's own word
    by: Subject,
    now: datetime,
    occurred_at: datetime,
    changes: Mapping[str, Any],
    effective_at: datetime | None = None,
    location: Location | None = None,
    note: str = "",
    checkpoint: Mapping[str, Any] | None = None,
    proof: Mapping[str, Any] | None = None,
) -> ShipmentEvent:
    """This will insert the event that explains `shipment.seq` and send its hint after COMMIT.

    The caller holds the row lock, has saved the shipment with `seq` bumped by one in this same
    transaction, and gives `changes` in the fields of the public snapshot. What is in `changes`, `note`
    or beside them is shown to everybody who may see the shipment.
    """
    event = ShipmentEvent(
        organization_id=shipment.organization_id,
        shipment=shipment,
        seq=shipment.seq,
        type=type,
        status=shipment.status,
        occurred_at=occurred_at,
        recorded_at=now,
        effective_at=effective_at,
        location=location,
        actor_role=by.role,
        actor_id=by.user_id,
        data={"changes": dict(changes)}
        | ({"note": note} if note else {})
        | ({"checkpoint": dict(checkpoint)} if checkpoint else {})
        | ({"proof": dict(proof)} if proof else {}),
    )
    event.save(force_insert=True)
    transaction.on_commit(partial(_hint, event, _summary(shipment)), robust=True)
    return event


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
    event.save(force_insert=True)
    transaction.on_commit(metrics.events.labels(type).inc, robust=True)
    return event


def audit(
    *,
    by: Subject,
    now: datetime,
    action: str,
    entity: str,
    entity_id: object = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    outcome: str = AuditEntry.Outcome.DONE,
) -> AuditEntry:
    """This will insert one audit entry, inside the caller's transaction where it has one."""
    entry = AuditEntry(
        organization_id=by.organization_id,
        at=now,
        actor_role=by.role,
        actor_id=by.user_id,
        actor_name=by.key_name or by.name,
        action=action,
        entity=entity,
        entity_id=str(entity_id),
        before=before,
        after=after,
        address=by.address,
        request_id=by.request_id,
        outcome=outcome,
    )
    entry.save(force_insert=True)
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
