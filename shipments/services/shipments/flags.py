"""Flags: exceptions beside the status, opened and cleared with a reason."""

from datetime import datetime
from typing import Any

from django.db import transaction

from shipments import log, representation
from shipments.auth.subjects import Subject
from shipments.compiled_sql import writes
from shipments.domain import lifecycle
from shipments.models import EventType, Shipment
from shipments.services import write
from shipments.services.shipments.commands import InvalidArgument


def open_flag(
    *, by: Subject, now: datetime, reference: str, flag: str, reason: str = "", expected_seq: int | None = None
) -> Shipment:
    """Open a flag; one that is open stays as it is and nothing is written.

    Raises ShipmentNotFound, StaleWrite, Invalid.
    """
    _check_flag(flag)
    with transaction.atomic():
        shipment = write.locked_shipment(reference, by=by, expected_seq=expected_seq)
        if add_flag(shipment, flag, reason=reason, now=now):
            _commit_flag_change(shipment, EventType.FLAGGED, by=by, now=now, flag=flag, reason=reason)
    return shipment


def clear_flag(
    *, by: Subject, now: datetime, reference: str, flag: str, reason: str = "", expected_seq: int | None = None
) -> Shipment:
    """Clear a flag; one that is not open changes nothing.

    Raises ShipmentNotFound, StaleWrite, Invalid.
    """
    _check_flag(flag)
    with transaction.atomic():
        shipment = write.locked_shipment(reference, by=by, expected_seq=expected_seq)
        if remove_flag(shipment, flag):
            _commit_flag_change(shipment, EventType.UNFLAGGED, by=by, now=now, flag=flag, reason=reason)
    return shipment


def add_flag(shipment: Shipment, flag: str, *, reason: str, now: datetime) -> bool:
    """Add the flag to the locked, unsaved shipment, and say whether it was not open."""
    if write.has_flag(shipment, flag):
        return False
    entry: dict[str, Any] = {"flag": flag, "reason": reason, "openedAt": representation.instant(now)}
    shipment.flags = [*shipment.flags, entry]
    return True


def remove_flag(shipment: Shipment, flag: str) -> bool:
    """Take the flag from the locked, unsaved shipment, and say whether it was open."""
    if not write.has_flag(shipment, flag):
        return False
    shipment.flags = [each for each in shipment.flags if each["flag"] != flag]
    return True


def _check_flag(flag: str) -> None:
    if flag not in lifecycle.FLAGS:
        raise InvalidArgument("flag", f"The flags are {', '.join(lifecycle.FLAGS)}.", code="unknown_flag")


def _commit_flag_change(
    shipment: Shipment, kind: EventType, *, by: Subject, now: datetime, flag: str, reason: str
) -> None:
    with writes.batched_writes():
        write.save_with_next_seq(shipment, now=now, fields=("flags",))
        log.record(
            shipment, type=kind, by=by, now=now, occurred_at=now, changes={"flags": shipment.flags}, note=reason
        )
        log.record_audit(
            by=by,
            now=now,
            action="flag" if kind == EventType.FLAGGED else "unflag",
            entity="shipment",
            entity_id=shipment.reference,
            after={"flag": flag, "reason": reason},
        )
