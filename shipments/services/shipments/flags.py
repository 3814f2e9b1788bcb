"""Flags: exceptions beside the status, opened and cleared with a reason."""

from datetime import datetime
from typing import Any

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.domain import lifecycle
from shipments.domain.versions import Version
from shipments.models import EventType, Shipment
from shipments.services import write
from shipments.services.validation import InvalidArgument


def open_flag(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    flag: str,
    reason: str = "",
    expected_version: Version | None = None,
) -> Shipment:
    """Open a flag; where it is open nothing is written.

    Raises ShipmentNotFound, StaleWrite, InvalidArgument.
    """
    _check_flag(flag)
    with write.locked_shipment(reference, by=by, expected_version=expected_version) as shipment:
        if add_flag(shipment, flag, reason=reason, now=now):
            commit_flag_change(shipment, EventType.FLAGGED, by=by, now=now, flag=flag, reason=reason)
    return shipment


def clear_flag(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    flag: str,
    reason: str = "",
    expected_version: Version | None = None,
) -> Shipment:
    """Clear a flag; where it is not open nothing is written.

    Raises ShipmentNotFound, StaleWrite, InvalidArgument.
    """
    _check_flag(flag)
    with write.locked_shipment(reference, by=by, expected_version=expected_version) as shipment:
        if remove_flag(shipment, flag):
            commit_flag_change(shipment, EventType.UNFLAGGED, by=by, now=now, flag=flag, reason=reason)
    return shipment


def add_flag(shipment: Shipment, flag: str, *, reason: str, now: datetime) -> bool:
    """Add the flag to the locked, unsaved shipment; return False where it was open already."""
    if lifecycle.has_flag(shipment.flags, flag):
        return False
    entry: dict[str, Any] = {"flag": flag, "reason": reason, "openedAt": representation.instant(now)}
    shipment.flags = [*shipment.flags, entry]
    return True


def remove_flag(shipment: Shipment, flag: str) -> bool:
    """Remove the flag from the locked, unsaved shipment; return False where it was not open."""
    if not lifecycle.has_flag(shipment.flags, flag):
        return False
    shipment.flags = [each for each in shipment.flags if each["flag"] != flag]
    return True


def commit_flag_change(
    shipment: Shipment, kind: EventType, *, by: Subject, now: datetime, flag: str, reason: str
) -> None:
    """Commit a flag that `add_flag` or `remove_flag` has changed on the locked shipment."""
    write.commit_change(
        shipment,
        kind,
        by=by,
        now=now,
        columns=("flags",),
        changes={"flags": shipment.flags},
        audit_after={"flag": flag, "reason": reason},
        note=reason,
    )


def _check_flag(flag: str) -> None:
    if flag not in lifecycle.FLAGS:
        raise InvalidArgument("flag", f"The flags are {', '.join(lifecycle.FLAGS)}.", code="unknown_flag")
