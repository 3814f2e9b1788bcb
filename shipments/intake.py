"""Door: the few writes offered to the rooms above."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shipments import log, services
from shipments.auth.subjects import Forbidden, Subject
from shipments.services import BatchResult, DriverNotFound, Fix, Implausible, InvalidArgument, PositionResult
from shipments.services.accounts import socket_tickets
from shipments.services.shipments import imports
from shipments.services.shipments.imports import ImportRow, RowResult
from shipments.services.shipments.places import Place
from shipments.services.transactions import OutcomeUnknown, run_in_transaction

__all__ = [
    "DriverNotFound",
    "Fix",
    "Forbidden",
    "Implausible",
    "BatchResult",
    "InvalidArgument",
    "RowResult",
    "OutcomeUnknown",
    "Place",
    "PositionResult",
    "ImportRow",
    "run_in_transaction",
    "import_rows",
    "record_audit",
    "record_position",
    "record_positions",
]


def record_position(
    *,
    by: Subject,
    now: datetime,
    latitude: float,
    longitude: float,
    recorded_at: datetime | None = None,
    accuracy: float | None = None,
    speed: float | None = None,
    bearing: float | None = None,
    driver_id: uuid.UUID | None = None,
) -> PositionResult:
    """Keep where a driver is, without `driver_id` the caller's own, without `recorded_at` as of now.

    WGS 84 degrees, metres, metres a second. Raises Forbidden, DriverNotFound (there is none, or it is not the
    caller's own), Invalid; Implausible, an Invalid, for a jump that no vehicle makes.
    """
    by.require("positions:write")
    driver_id = driver_id or by.driver_id
    if driver_id is None:
        raise Forbidden("Only drivers have a position.")
    fix = Fix(driver_id, latitude, longitude, recorded_at or now, accuracy, speed, bearing)
    return services.record_position(by=by, now=now, fix=fix)


def record_positions(*, by: Subject, now: datetime, batch: Sequence[Fix]) -> BatchResult:
    """Keep many positions in one transaction and say what became of them. Raises Forbidden."""
    return services.record_positions(by=by, now=now, batch=batch)


def record_audit(
    *,
    by: Subject,
    now: datetime,
    action: str,
    entity: str,
    entity_id: object,
    after: Mapping[str, Any] | None,
    outcome: str,
    before: Mapping[str, Any] | None = None,
) -> None:
    """Write one audit entry on an act of a room above, in the caller's transaction if there is one."""
    log.record_audit(
        by=by, now=now, action=action, entity=entity, entity_id=entity_id, before=before, after=after,
        outcome=outcome,
    )  # fmt: skip


def import_rows(*, by: Subject, now: datetime, rows: Sequence[ImportRow], dry_run: bool) -> list[RowResult]:
    """Book or amend what each row asks for, in the caller's transaction, and say what became of it.

    The reference makes it idempotent; a row that fails loses nothing but itself; with `dry_run` nothing is written.
    Raises Forbidden.
    """
    by.require("shipments:write")
    return imports.import_rows(by=by, now=now, rows=rows, dry_run=dry_run)


def redeem_ticket(*, ticket: str, now: datetime) -> Subject | None:
    """Use a socket's ticket up and return whom it stands for, None where it is no good."""
    return socket_tickets.redeem(ticket=ticket, now=now)
