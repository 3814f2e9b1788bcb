"""Commands on a shipment: advance, amend, discard. Each is one change through `services.write`."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.domain import lifecycle, other_references
from shipments.domain.versions import Version
from shipments.models import Customer, Driver, EventType, Location, Shipment
from shipments.services import write
from shipments.services.shipments.places import Place, resolve_place
from shipments.services.validation import InvalidArgument, refuse_future, refuse_no_time

_PLAIN_COLUMNS = (
    "references",
    "pieces",
    "weight_kg",
    "volume_m3",
    "planned_pickup_at",
    "planned_delivery_at",
    "eta",
)
_BEFORE_TRANSIT = frozenset({"draft", "booked"})


class NotADraft(Exception):
    """The shipment is no draft: only drafts can be discarded."""


def advance(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    to: str,
    occurred_at: datetime | None = None,
    location: str | Place | Location | None = None,
    reason: str = "",
    note: str = "",
    expected_version: Version | None = None,
) -> Shipment:
    """Move a shipment to another state by command; the state that it has already changes nothing.

    Raises ShipmentNotFound, StaleWrite, lifecycle.IllegalTransition, UnknownPlace, InvalidArgument.
    """
    if to not in lifecycle.STATES:
        raise InvalidArgument("to", f"{to!r} is not a state.", code="unknown_state")
    if occurred_at:
        refuse_future("occurredAt", occurred_at, now=now, reason="The time lies in the future")
    # It refuses before it writes, so the caller's transaction needs no savepoint.
    with write.locked_shipment(reference, by=by, expected_version=expected_version, savepoint=False) as shipment:
        if to == (before := shipment.status):
            return shipment
        if occurred_at:
            refuse_no_time("occurredAt", occurred_at, booked_at=shipment.created_at)
        on_hold = lifecycle.has_flag(shipment.flags, "on_hold")
        lifecycle.check_transition(before, to, assigned=shipment.driver_id is not None, on_hold=on_hold)
        place = resolve_place(location, organization_id=by.organization_id) if location else None
        changes: dict[str, Any] = {"status": to}
        shipment.effective_at = _effective_at(shipment, to, occurred_at or now)
        shipment.status = to
        if to == "delivered":
            shipment.delivered_at = shipment.effective_at
            changes["deliveredAt"] = representation.instant(shipment.delivered_at)
        write.commit_change(
            shipment,
            EventType.TRANSITIONED,
            by=by,
            now=now,
            columns=("status", "effective_at", "delivered_at"),
            changes=changes,
            occurred_at=occurred_at,
            audit_before={"status": before},
            audit_after={"status": to} | ({"reason": reason} if reason else {}),
            effective_at=shipment.effective_at,
            location=place,
            note=note,
        )
    return shipment


def amend(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    changes: Mapping[str, Any],
    expected_version: Version | None = None,
) -> Shipment:
    """Change the details of a shipment: plans, measures, parties, places, notes.

    `changes` by column: references (merged into the stored ones: None removes a name), pieces, weight_kg,
    volume_m3, planned_pickup_at, planned_delivery_at, eta, customer_id, driver_id, origin, destination, notes.
    Without a difference from the stored values nothing is written.
    Raises ShipmentNotFound, StaleWrite, UnknownPlace, InvalidArgument.
    """
    # A savepoint is needed: a place may be stored before a later value is refused.
    with write.locked_shipment(reference, by=by, expected_version=expected_version, with_related=True) as shipment:
        before = _snapshot_with_notes(shipment)
        _apply_changes(shipment, changes, by=by)
        check_planned_times(shipment.planned_pickup_at, shipment.planned_delivery_at)
        old, new = write.snapshot_diff(before, _snapshot_with_notes(shipment))
        if not new:
            return shipment
        write.commit_change(
            shipment,
            EventType.AMENDED,
            by=by,
            now=now,
            columns=(*_PLAIN_COLUMNS, "customer_id", "driver_id", "origin_id", "destination_id", "notes"),
            changes={field: value for field, value in new.items() if field != "notes"},
            audit_before=old,
            audit_after=new,
        )
    return shipment


def discard(*, by: Subject, now: datetime, reference: str, expected_version: Version | None = None) -> None:
    """Delete a draft; its log stays. Raises ShipmentNotFound, StaleWrite, NotADraft."""
    with write.locked_shipment(reference, by=by, expected_version=expected_version) as shipment:
        if shipment.status != "draft":
            raise NotADraft(f"The shipment is {shipment.status}; only a draft can be deleted. Cancel it.")
        shipment.deleted_at = now
        write.commit_change(shipment, EventType.DELETED, by=by, now=now, columns=("deleted_at",), changes={})


def _snapshot_with_notes(shipment: Shipment) -> dict[str, Any]:
    """Return the snapshot with the internal notes, for the audit alone: events never hold them."""
    return write.snapshot(shipment) | {"notes": shipment.notes}


def _effective_at(shipment: Shipment, to: str, occurred_at: datetime) -> datetime:
    """Return when an accepted command takes effect: never before the newest applied entry of the fold.

    At the same instant the fold orders by rank, so a command to a lower state takes the next microsecond: else
    it would be folded before the entry that it followed.
    """
    if occurred_at > shipment.effective_at:
        return occurred_at
    is_lower_rank = lifecycle.STATES.index(to) < lifecycle.STATES.index(shipment.status)
    return shipment.effective_at + timedelta(microseconds=int(is_lower_rank))


def _apply_changes(shipment: Shipment, changes: Mapping[str, Any], *, by: Subject) -> None:
    planned_before = shipment.planned_delivery_at
    for column, value in changes.items():
        if column == "driver_id":
            if value is None and shipment.status in lifecycle.IN_MOTION:
                raise InvalidArgument("driverId", "A shipment on its way needs a driver; name another one.")
            shipment.driver = driver_of(value, by)
        elif column == "customer_id":
            shipment.customer = customer_of(value, by)
        elif column in {"origin", "destination"}:
            setattr(shipment, column, _resolved_end(shipment, column, value, by))
        elif column == "references":
            shipment.references = merged_references(shipment.references, value)
        elif column in _PLAIN_COLUMNS or column == "notes":
            setattr(shipment, column, value)
        else:
            raise InvalidArgument(column, "This cannot be changed.")
    if "eta" not in changes and shipment.eta == planned_before:
        shipment.eta = shipment.planned_delivery_at


def _resolved_end(shipment: Shipment, column: str, value: str | Place | Location, by: Subject) -> Location:
    place = resolve_place(value, organization_id=by.organization_id)
    if place.pk != getattr(shipment, f"{column}_id"):
        check_end_may_change(shipment, column)
    return place


def check_end_may_change(shipment: Shipment, column: str) -> None:
    """Raise InvalidArgument where `origin` or `destination` can no longer change: the freight is moving."""
    if shipment.status not in _BEFORE_TRANSIT:
        raise InvalidArgument(column, f"The {column} of a shipment that is {shipment.status} is settled.")


def customer_of(customer_id: uuid.UUID | None, by: Subject) -> Customer | None:
    """Return the customer of the subject's organisation, None for None. Raises InvalidArgument."""
    if customer_id is None:
        return None
    customer: Customer | None = Customer.objects.of_organization(by.organization_id).filter(pk=customer_id).first()
    if customer is None:
        raise InvalidArgument("customerId", "There is no such customer.", code="unknown_customer")
    return customer


def driver_of(driver_id: uuid.UUID | None, by: Subject) -> Driver | None:
    """Return the driver of the subject's organisation, None for None. Raises InvalidArgument."""
    if driver_id is None:
        return None
    driver: Driver | None = Driver.objects.of_organization(by.organization_id).filter(pk=driver_id).first()
    if driver is None:
        raise InvalidArgument("driverId", "There is no such driver.", code="unknown_driver")
    return driver


def merged_references(
    stored: Mapping[str, other_references.Value], change: Mapping[str, other_references.Value | None]
) -> dict[str, other_references.Value]:
    """Return the references of a shipment after a change. Raises InvalidArgument where they are too many."""
    try:
        return other_references.merge(stored, change)
    except other_references.InvalidReferences as error:
        raise InvalidArgument("references", str(error), code=error.code) from error


def check_planned_times(pickup: datetime | None, delivery: datetime | None) -> None:
    """Raise InvalidArgument where delivery is planned before pickup."""
    if pickup and delivery and delivery < pickup:
        raise InvalidArgument("plannedDeliveryAt", "Delivery is planned before pickup.")
