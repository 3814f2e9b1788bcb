"""The row of a shipment in a writer's hands: found, locked, and saved with its next number."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.compiled_sql import one_shipment, writes
from shipments.models import Shipment

# The fields of a snapshot that every event changes; an event says them itself.
VERSION_FIELDS = frozenset({"seq", "updatedAt"})


class ShipmentNotFound(Exception):
    """No such shipment, or not for this subject: the two look alike."""


class StaleWrite(Exception):
    """The shipment has changed since the caller read it; `seq` is today's."""

    def __init__(self, seq: int) -> None:
        super().__init__("The shipment has changed since you read it.")
        self.seq = seq


def locked_shipment(
    reference: str, *, by: Subject, expected_seq: int | None, with_related: bool = False
) -> Shipment:
    """Return the row, locked until the transaction ends; `whole` with what `row` needs."""
    shipment = one_shipment.fetch_locked(by, reference, with_related=with_related)
    if shipment is None:
        raise ShipmentNotFound(reference)
    check_expected_seq(shipment, expected_seq)
    return shipment


def lock_shipments_in_order(references: Sequence[str], *, by: Subject) -> None:
    """Lock the rows until the transaction ends, in ascending pk: two who do so never cross each other.

    Raises nothing for a shipment that is not there.
    """
    rows = Shipment.objects.visible_to(by).with_references(references).order_by("pk")
    list(rows.select_for_update(of=("self",)).values_list("pk", flat=True))


def check_expected_seq(shipment: Shipment, expected_seq: int | None) -> None:
    """Raise StaleWrite where the caller has read another version; None expects nothing."""
    if expected_seq is not None and shipment.seq != expected_seq:
        raise StaleWrite(shipment.seq)


def save_with_next_seq(shipment: Shipment, *, now: datetime, fields: tuple[str, ...]) -> None:
    """Store the fields under the next number; the caller records the event that explains it."""
    shipment.seq += 1
    shipment.updated_at = now
    writes.update(shipment, (*fields, "seq", "updated_at"))


def has_flag(shipment: Any, flag: str) -> bool:
    """Tell whether a flag is open."""
    return any(each["flag"] == flag for each in shipment.flags)


def snapshot_row(shipment: Shipment) -> dict[str, Any]:
    """Return the row from which `representation.snapshot` is made, without a query."""
    columns: dict[str, Any] = {}
    for column in representation.SHIPMENT_COLUMNS:
        value: Any = shipment
        for part in column.split("__"):
            value = None if value is None or part == "last_position" else getattr(value, part)
        columns[column] = value
    return columns
