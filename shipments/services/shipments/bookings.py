"""Bookings: new shipments, one at a time, or many in one transaction with one statement per table."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction

from shipments import log
from shipments.auth.subjects import Subject
from shipments.domain import lifecycle
from shipments.domain.identifiers import is_valid_reference, new_id
from shipments.models import AuditEntry, Customer, Driver, EventType, Location, Shipment, ShipmentEvent
from shipments.services import write
from shipments.services.shipments.commands import check_planned_times, customer_of, driver_of, merged_references
from shipments.services.shipments.places import Place, UnknownPlace, resolve_place
from shipments.services.validation import InvalidArgument


class DuplicateReference(Exception):
    """A shipment of the organisation has this reference already."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"There is a shipment {reference} already.")


# Why a booking may be refused.
Refusal = DuplicateReference | UnknownPlace | InvalidArgument


def book(
    *,
    by: Subject,
    now: datetime,
    origin: str | Place | Location,
    destination: str | Place | Location,
    reference: str | None = None,
    status: str = "draft",
    customer_id: uuid.UUID | None = None,
    driver_id: uuid.UUID | None = None,
    notes: str = "",
    **details: Any,
) -> Shipment:
    """Store a new shipment at seq 1, as `draft` or `booked`; a missing reference is generated.

    `details`: references, pieces, weight_kg, volume_m3, planned_pickup_at, planned_delivery_at.
    Raises DuplicateReference, UnknownPlace, InvalidArgument.
    """
    booking = {
        "origin": origin, "destination": destination, "reference": reference, "status": status,
        "customer_id": customer_id, "driver_id": driver_id, "notes": notes,
    }  # fmt: skip
    with transaction.atomic():
        shipment = _build_shipment(booking | details, _PartyCache(by), now)
        _insert([shipment])
        _record_creation([shipment], by=by, now=now)
    return shipment


def book_all(*, by: Subject, now: datetime, bookings: Sequence[Mapping[str, Any]]) -> list[Shipment | Refusal]:
    """Book many shipments, each given as the arguments of `book`, in one transaction.

    Each is answered at its index: by the shipment, or by the exception that refuses it alone.
    """
    parties = _PartyCache(by)
    with transaction.atomic():
        answers = [_attempt(partial(_build_shipment, each, parties, now)) for each in bookings]
        _refuse_duplicates(answers, by)
        new_shipments = [each for each in answers if isinstance(each, Shipment)]
        try:
            _insert(new_shipments)
        except DuplicateReference:  # a concurrent booking took one of the references
            answers = [_attempt(partial(_insert_one, each)) for each in answers]
            new_shipments = [each for each in answers if isinstance(each, Shipment)]
        _record_creation(new_shipments, by=by, now=now)
    return answers


@dataclass(slots=True)
class _PartyCache:
    """The places and parties that the bookings of one subject name: each is queried once."""

    by: Subject
    cache: dict[tuple[str, Any], Any] = field(default_factory=dict)

    def place(self, place: str | Place | Location) -> Location:
        return place if isinstance(place, Location) else self._cached("place", place, self._resolve_place)

    def customer(self, customer_id: uuid.UUID | None) -> Customer | None:
        return self._cached("customer", customer_id, lambda key: customer_of(key, self.by))  # type: ignore[no-any-return]  # the cache is of Any

    def driver(self, driver_id: uuid.UUID | None) -> Driver | None:
        return self._cached("driver", driver_id, lambda key: driver_of(key, self.by))  # type: ignore[no-any-return]  # the cache is of Any

    def _resolve_place(self, place: str | Place) -> Location:
        return resolve_place(place, organization_id=self.by.organization_id)

    def _cached(self, kind: str, key: Any, load: Callable[[Any], Any]) -> Any:
        if (kind, key) not in self.cache:
            self.cache[kind, key] = load(key)
        return self.cache[kind, key]


def _attempt(make: Callable[[], Shipment | Refusal]) -> Shipment | Refusal:
    try:
        return make()
    except (DuplicateReference, UnknownPlace, InvalidArgument) as error:
        return error


def _build_shipment(booking: Mapping[str, Any], parties: _PartyCache, now: datetime) -> Shipment:
    """Return the unsaved shipment that a booking describes."""
    details = dict(booking)
    reference = details.pop("reference", None) or _new_reference()
    status = details.pop("status", "draft")
    if not is_valid_reference(reference):
        raise InvalidArgument("reference", "A reference is 1–64 letters, digits, dots, dashes or underscores.")
    if status not in lifecycle.INITIAL_STATES:
        raise InvalidArgument("status", "A shipment starts as draft or booked.")
    check_planned_times(details.get("planned_pickup_at"), details.get("planned_delivery_at"))
    details["references"] = merged_references({}, details.get("references", {}))
    return Shipment(
        organization_id=parties.by.organization_id,
        reference=reference,
        status=status,
        origin=parties.place(details.pop("origin")),
        destination=parties.place(details.pop("destination")),
        customer=parties.customer(details.pop("customer_id", None)),
        driver=parties.driver(details.pop("driver_id", None)),
        effective_at=now,
        created_at=now,
        updated_at=now,
        **({"eta": details.get("planned_delivery_at")} | details),
    )


def _refuse_duplicates(answers: list[Shipment | Refusal], by: Subject) -> None:
    """Replace each shipment whose reference is taken, or given twice, by its refusal."""
    references = [each.reference for each in answers if isinstance(each, Shipment)]
    rows = Shipment.objects.of_organization(by.organization_id).not_deleted().with_references(references)
    taken = {reference.upper() for reference in rows.values_list("reference", flat=True)}
    for number, each in enumerate(answers):
        if isinstance(each, Shipment):
            if each.reference.upper() in taken:
                answers[number] = DuplicateReference(each.reference)
            taken.add(each.reference.upper())


def _insert(shipments: Sequence[Shipment]) -> None:
    """Insert new shipments in the order of their references: concurrent bookings cannot deadlock."""
    try:
        with transaction.atomic():
            Shipment.objects.bulk_create(sorted(shipments, key=lambda each: each.reference.upper()))
    except IntegrityError as error:
        if "shipment_reference_once" not in str(error):
            raise
        raise DuplicateReference(shipments[0].reference) from error


def _insert_one(answer: Shipment | Refusal) -> Shipment | Refusal:
    if isinstance(answer, Shipment):
        _insert([answer])
    return answer


def _record_creation(shipments: Sequence[Shipment], *, by: Subject, now: datetime) -> None:
    """Insert the events and audit entries of new shipments, in the transaction that has inserted them."""
    events: list[ShipmentEvent] = []
    entries: list[AuditEntry] = []
    for shipment in shipments:
        snapshot = write.snapshot(shipment)
        events.append(
            log.build_event(
                shipment, type=EventType.CREATED, by=by, now=now, occurred_at=now, location=shipment.origin,
                changes=snapshot,
            )
        )  # fmt: skip
        entries.append(
            log.build_audit_entry(
                by=by, now=now, action=write.ACTION_OF[EventType.CREATED],
                entity="shipment", entity_id=shipment.reference,
                after=snapshot | {"notes": shipment.notes},
            )
        )  # fmt: skip
    log.insert_events_and_audit(events, entries)


def _new_reference() -> str:
    """Generate a reference: 12 characters of Crockford's base 32, 60 random bits."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = new_id().int & ((1 << 60) - 1)
    return "FR-" + "".join(alphabet[(number >> shift) & 31] for shift in range(55, -1, -5))
