"""Rows of a file become shipments: each judged for itself, then booked or amended as anybody would.

The reference is what makes it idempotent: a row whose reference exists amends that shipment where it differs, and
what a row leaves out stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shipments import lifecycle
from shipments.access import Subject
from shipments.identifiers import is_valid_reference
from shipments.models import Customer, Driver, Location, Shipment
from shipments.services import rows as shipment_rows
from shipments.services import shipments as services
from shipments.services.bookings import DuplicateReference, book_all
from shipments.services.named import Named
from shipments.services.places import Place
from shipments.services.shipments import Invalid

# What is given as the API names it, and the column that it changes.
_COLUMNS: Final[Mapping[str, str]] = {
    "pieces": "pieces",
    "weightKg": "weight_kg",
    "volumeM3": "volume_m3",
    "plannedPickupAt": "planned_pickup_at",
    "plannedDeliveryAt": "planned_delivery_at",
    "eta": "eta",
    "notes": "notes",
}
# Files hold times to the millisecond; nearer than that is the same.
_NEAR: Final = timedelta(milliseconds=1)
Problem = dict[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row: what the shipment of this reference shall be like, by the API's names, and what could not be read.

    `values`: origin, destination (UN/LOCODE or Place), status, customerId or customer (a name), driverId or
    driverName, references, pieces, weightKg, volumeM3, plannedPickupAt, plannedDeliveryAt, eta, notes.
    """

    row: int
    reference: str
    values: Mapping[str, Any]
    errors: Sequence[Problem] = ()


@dataclass(slots=True)
class Judged:
    """What becomes of a row: `created`, `updated`, `unchanged` or `failed`, by which fields, and why not."""

    row: int
    reference: str
    outcome: str = "unchanged"
    changed: list[str] = field(default_factory=list)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, error: Invalid) -> None:
        """This will note why the row cannot be taken."""
        self.outcome = "failed"
        self.errors.append({"field": error.field, "code": error.code, "message": str(error)})


def import_rows(*, by: Subject, now: datetime, rows: Sequence[Wanted], dry_run: bool) -> list[Judged]:
    """This will book or amend what each row asks for, in the caller's transaction, and say what became of it.

    A row that fails loses nothing but itself. With `dry_run` nothing is written: what would become of it.
    """
    references = [each.reference for each in rows if each.reference]
    if not dry_run:
        shipment_rows.lock_in_order(references, by=by)
    known = _known(references, by)
    found = Named.of([each.values for each in rows], by, dry_run=dry_run)
    # In one order for all: two who book the same references wait for each other and never cross.
    in_order = sorted(rows, key=lambda each: each.reference.upper())
    fresh: list[_Fresh] = []
    told = [_done(each, known.get(each.reference.upper()), found, fresh, by=by, now=now) for each in in_order]
    _book(fresh, found, by=by, now=now)
    return sorted(told, key=lambda each: each.row)


def _known(references: Sequence[str], by: Subject) -> dict[str, Shipment]:
    """This will return the shipments that are there, by reference in capitals."""
    found = Shipment.objects.visible_to(by).with_references(references)
    found = found.select_related("origin", "destination", "customer", "driver")
    return {shipment.reference.upper(): shipment for shipment in found}


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A row that is to be booked."""

    wanted: Wanted
    told: Judged
    booking: Mapping[str, Any]


def _done(
    wanted: Wanted, shipment: Shipment | None, found: Named, fresh: list[_Fresh], *, by: Subject, now: datetime
) -> Judged:
    """This will judge a row, amend the shipment that it differs from, and put what is to be booked to `fresh`."""
    told = Judged(wanted.row, wanted.reference, errors=list(wanted.errors))
    if told.errors:
        told.outcome = "failed"
        return told
    changes = _booking(wanted, found, told) if shipment is None else _changes(wanted, shipment, found, told)
    if told.errors or found.dry_run or not changes:
        return told
    if shipment is None:
        fresh.append(_Fresh(wanted, told, changes))
    else:
        _amend(shipment, changes, told, by=by, now=now)
    return told


def _amend(shipment: Shipment, changes: Mapping[str, Any], told: Judged, *, by: Subject, now: datetime) -> None:
    try:
        amended = services.amend(by=by, now=now, reference=shipment.reference, changes=changes)
    except Invalid as error:
        told.refuse(error)
    else:
        if amended.seq == shipment.seq:
            told.outcome, told.changed = "unchanged", []


def _book(fresh: Sequence[_Fresh], found: Named, *, by: Subject, now: datetime) -> None:
    """This will book the new shipments of a chunk together."""
    bookings = [{"reference": each.wanted.reference, **each.booking} for each in fresh]
    for each, became in zip(fresh, book_all(by=by, now=now, bookings=bookings), strict=True):
        if isinstance(became, DuplicateReference):
            # Somebody else has just booked it.
            reference = each.wanted.reference
            again = _done(each.wanted, _known([reference], by)[reference.upper()], found, [], by=by, now=now)
            for name in ("outcome", "changed", "errors", "warnings"):
                setattr(each.told, name, getattr(again, name))
        elif isinstance(became, Invalid):
            each.told.refuse(became)


# -- judging ----------------------------------------------------------------------------------------------


def _booking(wanted: Wanted, found: Named, told: Judged) -> dict[str, Any]:
    """This will return what a new shipment is booked with."""
    values, booking = wanted.values, {}
    told.outcome, told.changed = "created", sorted(values)
    for check in (
        lambda: _check_reference(wanted.reference),
        lambda: _check_start(values.get("status")),
        lambda: services.check_times(values.get("plannedPickupAt"), values.get("plannedDeliveryAt")),
    ):
        _collected(told, check)
    for end in ("origin", "destination"):
        if end not in values:
            told.refuse(Invalid(end, "A new shipment needs this.", code="required"))
        else:
            booking[end] = _collected(told, lambda end=end: found.place(end, values[end]))
    booking["customer_id"] = _collected(told, lambda: found.customer(values))
    booking["driver_id"] = _collected(told, lambda: found.driver(values))
    booking |= {column: values[name] for name, column in _COLUMNS.items() if name in values}
    booking |= {name: values[name] for name in ("status", "references") if name in values}
    return booking


def _changes(wanted: Wanted, shipment: Shipment, found: Named, told: Judged) -> dict[str, Any]:
    """This will return what of an existing shipment differs, by column."""
    values = wanted.values
    changes = {
        column: values[name]
        for name, column in _COLUMNS.items()
        if name in values and not _alike(getattr(shipment, column), values[name])
    }
    if (merged := shipment.references | values.get("references", {})) != shipment.references:
        changes["references"] = merged
    _move_ends(shipment, values, found, told, changes)
    _collected(told, lambda: _reassign(shipment, values, found, changes))
    _collected(
        told,
        lambda: services.check_times(
            changes.get("planned_pickup_at", shipment.planned_pickup_at),
            changes.get("planned_delivery_at", shipment.planned_delivery_at),
        ),
    )
    if "status" in values and values["status"] != shipment.status:
        told.warnings.append(_stays(shipment))
    if changes and not told.errors:
        told.outcome, told.changed = "updated", sorted(map(_named, changes))
    if "eta" in values and "planned_delivery_at" in changes:
        changes.setdefault("eta", shipment.eta)  # the file says it: it does not follow the plan
    return changes


def _move_ends(
    shipment: Shipment, values: Mapping[str, Any], found: Named, told: Judged, changes: dict[str, Any]
) -> None:
    for end in ("origin", "destination"):
        if end not in values or _is_place(getattr(shipment, end), values[end]):
            continue
        place = _collected(told, lambda end=end: found.place(end, values[end]))
        if place is not None:
            _collected(told, lambda end=end: services.check_end(shipment, end))
            changes[end] = place


def _reassign(shipment: Shipment, values: Mapping[str, Any], found: Named, changes: dict[str, Any]) -> None:
    by_id = "customerId" in values
    if by_id or not _called(shipment.customer, values.get("customer")):
        customer_id = found.customer(values)
        if customer_id not in {None, shipment.customer_id}:
            changes["customer_id"] = customer_id
    by_id = "driverId" in values
    if by_id or not _called(shipment.driver, values.get("driverName")):
        driver_id = found.driver(values)
        if driver_id not in {None, shipment.driver_id}:
            changes["driver_id"] = driver_id


def _collected(told: Judged, check: Any) -> Any:
    """This will return what a check finds, or note what it refuses."""
    try:
        return check()
    except Invalid as error:
        told.refuse(error)
        return None


def _check_reference(reference: str) -> None:
    if not is_valid_reference(reference):
        raise Invalid("reference", "A reference is 1–64 letters, digits, dots, dashes or underscores.")


def _check_start(status: str | None) -> None:
    if status is not None and status not in lifecycle.INITIAL_STATES:
        raise Invalid(
            "status", f"A new shipment starts as draft or booked, not as {status}; what happens to it moves it on."
        )


def _stays(shipment: Shipment) -> Problem:
    message = f"The shipment is {shipment.status} and stays so: a file does not move it."
    return {"field": "status", "code": "ignored", "message": message}


def _alike(mine: Any, said: Any) -> bool:
    if isinstance(mine, datetime) and isinstance(said, datetime):
        return abs(mine - said) < _NEAR
    if isinstance(mine, str) and isinstance(said, str):
        return mine.replace("\r\n", "\n").strip() == said.replace("\r\n", "\n")
    return mine is said or bool(mine == said)


def _is_place(mine: Location, said: str | Place) -> bool:
    """This will tell whether a place is the one that a file names: degrees do not stand in files."""
    if isinstance(said, str):
        return mine.locode == said
    return mine.locode is None and (mine.name.strip(), mine.country) == (said.name, said.country)


def _called(party: Customer | Driver | None, name: str | None) -> bool:
    """This will tell whether a party is the one that a file names, or the file names none."""
    return name is None or (party is not None and party.name.strip().casefold() == name.casefold())


def _named(column: str) -> str:
    names = {other: name for name, other in _COLUMNS.items()} | {
        "customer_id": "customerId", "driver_id": "driverId",
    }  # fmt: skip
    return names.get(column, column)
