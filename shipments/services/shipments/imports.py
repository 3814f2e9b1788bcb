"""Imports: each row of a file books a shipment, or amends the one that has its reference.

The reference makes an import idempotent: an existing shipment is amended where the row differs, and fields that the
row leaves out stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shipments.auth.subjects import Subject
from shipments.domain import lifecycle, other_references
from shipments.domain.identifiers import is_valid_reference
from shipments.models import Shipment
from shipments.services import write
from shipments.services.shipments import commands, doubtful_values, stored_values
from shipments.services.shipments.bookings import DuplicateReference, book_all
from shipments.services.shipments.reference_resolver import ReferenceResolver
from shipments.services.validation import InvalidArgument

Problem = dict[str, str]


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One row: the values of the shipment with this reference, by the API's names, and what could not be parsed.

    `suspicions` are the reasons why a text is hardly what its author meant. They are errors unless the shipment has
    that text already: files are often exports.

    `values`: origin, destination (UN/LOCODE or Place), status, customerId or customer (a name), driverId or
    driverName, references (by name, several in a line each), pieces, weightKg, volumeM3, plannedPickupAt,
    plannedDeliveryAt, eta, notes.
    """

    row: int
    reference: str
    values: Mapping[str, Any]
    errors: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    suspicions: Sequence[Problem] = ()


@dataclass(slots=True)
class RowResult:
    """The outcome of a row: `created`, `updated`, `unchanged` or `failed`, with changed fields and problems."""

    row: int
    reference: str
    outcome: str = "unchanged"
    changed: list[str] = field(default_factory=list)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, error: InvalidArgument) -> None:
        """Record why the row is refused."""
        self.outcome = "failed"
        self.errors.append({"field": error.field, "code": error.code, "message": str(error)})


def import_rows(*, by: Subject, now: datetime, rows: Sequence[ImportRow], dry_run: bool) -> list[RowResult]:
    """Book or amend the shipment of each row, in the caller's transaction, and return the results in file order.

    A row that fails does not affect the others. With `dry_run` nothing is written: the results are predictions.
    """
    references = [each.reference for each in rows if each.reference]
    if not dry_run:
        write.lock_shipments_in_order(references, by=by)
    existing = _existing_shipments(references, by)
    resolver = ReferenceResolver.load([each.values for each in rows], by, dry_run=dry_run)
    # In the order of references: concurrent imports of the same ones cannot deadlock.
    in_order = sorted(rows, key=lambda each: each.reference.upper())
    new_bookings: list[_NewBooking] = []
    results = [
        _process_row(each, existing.get(each.reference.upper()), resolver, new_bookings, by=by, now=now)
        for each in in_order
    ]
    _book_new(new_bookings, resolver, by=by, now=now)
    return sorted(results, key=lambda each: each.row)


def _existing_shipments(references: Sequence[str], by: Subject) -> dict[str, Shipment]:
    """Return the existing shipments, by reference in upper case."""
    shipments = Shipment.objects.visible_to(by).with_references(references)
    shipments = shipments.select_related("origin", "destination", "customer", "driver")
    return {shipment.reference.upper(): shipment for shipment in shipments}


@dataclass(frozen=True, slots=True)
class _NewBooking:
    """A row that books a new shipment."""

    row: ImportRow
    result: RowResult
    booking: Mapping[str, Any]


def _process_row(
    row: ImportRow,
    shipment: Shipment | None,
    resolver: ReferenceResolver,
    new_bookings: list[_NewBooking],
    *,
    by: Subject,
    now: datetime,
) -> RowResult:
    """Check a row, amend the shipment that it differs from, or append it to `new_bookings`."""
    result = RowResult(row.row, row.reference, errors=list(row.errors), warnings=list(row.warnings))
    result.warnings += doubtful_values.warnings_of(row.values)
    result.errors += [
        each for each in row.suspicions if not stored_values.is_stored(each["field"], row.values, shipment)
    ]
    if result.errors:
        result.outcome = "failed"
        return result
    changes = (
        _booking_arguments(row, resolver, result)
        if shipment is None
        else _amendment(row, shipment, resolver, result)
    )
    if result.errors or resolver.dry_run or not changes:
        return result
    if shipment is None:
        new_bookings.append(_NewBooking(row, result, changes))
    else:
        _amend_existing(shipment, changes, result, by=by, now=now)
    return result


def _amend_existing(
    shipment: Shipment, changes: Mapping[str, Any], result: RowResult, *, by: Subject, now: datetime
) -> None:
    try:
        amended = commands.amend(by=by, now=now, reference=shipment.reference, changes=changes)
    except InvalidArgument as error:
        result.refuse(error)
    else:
        if amended.seq == shipment.seq:
            result.outcome, result.changed = "unchanged", []


def _book_new(
    new_bookings: Sequence[_NewBooking], resolver: ReferenceResolver, *, by: Subject, now: datetime
) -> None:
    """Book the new shipments together, and update their results."""
    bookings = [{"reference": each.row.reference, **each.booking} for each in new_bookings]
    for each, outcome in zip(new_bookings, book_all(by=by, now=now, bookings=bookings), strict=True):
        if isinstance(outcome, DuplicateReference):
            # Somebody else has just booked it.
            reference = each.row.reference
            retried = _process_row(
                each.row, _existing_shipments([reference], by)[reference.upper()], resolver, [], by=by, now=now
            )
            for name in ("outcome", "changed", "errors", "warnings"):
                setattr(each.result, name, getattr(retried, name))
        elif isinstance(outcome, InvalidArgument):
            each.result.refuse(outcome)


# -- checks ----------------------------------------------------------------------------------------------


def _booking_arguments(row: ImportRow, resolver: ReferenceResolver, result: RowResult) -> dict[str, Any]:
    """Return the arguments with which a new shipment is booked."""
    values, booking = row.values, {}
    result.outcome, result.changed = "created", sorted(values)
    for check in (
        lambda: _check_reference(row.reference),
        lambda: _check_start(values.get("status")),
        lambda: commands.check_planned_times(values.get("plannedPickupAt"), values.get("plannedDeliveryAt")),
    ):
        _collect(result, check)
    for end in ("origin", "destination"):
        if end not in values:
            result.refuse(InvalidArgument(end, "A new shipment needs this.", code="required"))
        else:
            booking[end] = _collect(result, lambda end=end: resolver.place(end, values[end]))
    booking["customer_id"] = _collect(result, lambda: resolver.customer(values))
    booking["driver_id"] = _collect(result, lambda: resolver.driver(values))
    booking |= {column: values[name] for name, column in stored_values.COLUMNS.items() if name in values}
    if "status" in values:
        booking["status"] = values["status"]
    booking["references"] = {
        name: other_references.from_lines(cell) for name, cell in values.get("references", {}).items()
    }
    return booking


def _amendment(
    row: ImportRow, shipment: Shipment, resolver: ReferenceResolver, result: RowResult
) -> dict[str, Any]:
    """Return the values that differ from the existing shipment, by column."""
    values = row.values
    changes = {
        column: values[name]
        for name, column in stored_values.COLUMNS.items()
        if name in values and not stored_values.is_same_value(getattr(shipment, column), values[name])
    }
    if references := stored_values.changed_references(shipment, values.get("references", {})):
        changes["references"] = references
    _move_ends(shipment, values, resolver, result, changes)
    _collect(result, lambda: _change_parties(shipment, values, resolver, changes))
    _collect(
        result,
        lambda: commands.check_planned_times(
            changes.get("planned_pickup_at", shipment.planned_pickup_at),
            changes.get("planned_delivery_at", shipment.planned_delivery_at),
        ),
    )
    if "status" in values and values["status"] != shipment.status:
        result.warnings.append(_status_ignored(shipment))
    if changes and not result.errors:
        result.outcome, result.changed = "updated", sorted(map(stored_values.api_name, changes))
    if "eta" in values and "planned_delivery_at" in changes:
        changes.setdefault("eta", shipment.eta)  # given in the file: it does not follow the plan
    return changes


def _move_ends(
    shipment: Shipment,
    values: Mapping[str, Any],
    resolver: ReferenceResolver,
    result: RowResult,
    changes: dict[str, Any],
) -> None:
    for end in ("origin", "destination"):
        if end not in values or stored_values.is_place(getattr(shipment, end), values[end]):
            continue
        place = _collect(result, lambda end=end: resolver.place(end, values[end]))
        if place is not None:
            _collect(result, lambda end=end: commands.check_end_may_change(shipment, end))
            changes[end] = place


def _change_parties(
    shipment: Shipment, values: Mapping[str, Any], resolver: ReferenceResolver, changes: dict[str, Any]
) -> None:
    by_id = "customerId" in values
    if by_id or not stored_values.is_named(shipment.customer, values.get("customer")):
        customer_id = resolver.customer(values)
        if customer_id not in {None, shipment.customer_id}:
            changes["customer_id"] = customer_id
    by_id = "driverId" in values
    if by_id or not stored_values.is_named(shipment.driver, values.get("driverName")):
        driver_id = resolver.driver(values)
        if driver_id not in {None, shipment.driver_id}:
            changes["driver_id"] = driver_id


def _collect(result: RowResult, check: Any) -> Any:
    """Return the result of a check, or record its refusal and return None."""
    try:
        return check()
    except InvalidArgument as error:
        result.refuse(error)
        return None


def _check_reference(reference: str) -> None:
    if not is_valid_reference(reference):
        raise InvalidArgument("reference", "A reference is 1–64 letters, digits, dots, dashes or underscores.")


def _check_start(status: str | None) -> None:
    if status is not None and status not in lifecycle.INITIAL_STATES:
        raise InvalidArgument(
            "status", f"A new shipment starts as draft or booked, not as {status}; what happens to it moves it on."
        )


def _status_ignored(shipment: Shipment) -> Problem:
    message = f"The shipment is {shipment.status} and stays so: a file does not move it."
    return {"field": "status", "code": "ignored", "message": message}
