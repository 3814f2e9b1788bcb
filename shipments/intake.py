"""The writes that upper apps may call."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shipments import log, services
from shipments.auth.subjects import Forbidden, Subject
from shipments.services import BatchResult, DriverNotFound, Fix, Implausible, InvalidArgument, PositionResult
from shipments.services.accounts import socket_tickets
from shipments.services.history.regressions import report_lost_heads
from shipments.services.shipments import imports
from shipments.services.shipments.imports import ImportRow, RowResult
from shipments.services.shipments.places import Place
from shipments.services.transactions import OutcomeUnknown, run_in_transaction

__all__ = [
    "BatchResult",
    "DriverNotFound",
    "Fix",
    "Forbidden",
    "Implausible",
    "ImportRow",
    "InvalidArgument",
    "OutcomeUnknown",
    "Place",
    "PositionResult",
    "RowResult",
    "import_rows",
    "record_audit",
    "record_position",
    "record_positions",
    "report_lost_heads",
    "run_in_transaction",
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
    """Record a driver's position; `driver_id` defaults to the caller's own, `recorded_at` to `now`.

    WGS 84 degrees, metres, metres a second. Raises Forbidden, DriverNotFound (missing, or not the caller's own),
    InvalidArgument; its subclass Implausible for a jump that no vehicle makes.
    """
    services.require_reporter(by)
    driver_id = driver_id or by.driver_id
    if driver_id is None:
        raise Forbidden("Only drivers have a position.")
    fix = Fix(driver_id, latitude, longitude, recorded_at or now, accuracy, speed, bearing)
    return services.record_position(by=by, now=now, fix=fix)


def record_positions(*, by: Subject, now: datetime, batch: Sequence[Fix]) -> BatchResult:
    """Record many positions in one transaction and return their outcomes. Raises Forbidden."""
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
    """Insert one audit entry about an act of an upper app, in the caller's transaction if there is one."""
    log.record_audit(
        by=by, now=now, action=action, entity=entity, entity_id=entity_id, before=before, after=after,
        outcome=outcome,
    )  # fmt: skip


def import_rows(*, by: Subject, now: datetime, rows: Sequence[ImportRow], dry_run: bool) -> list[RowResult]:
    """Book or amend a shipment for each row, in the caller's transaction, and return the outcomes.

    Idempotent by reference. A row that fails does not affect the others; with `dry_run` nothing is written. Raises
    Forbidden.
    """
    by.require("shipments:write")
    return imports.import_rows(by=by, now=now, rows=rows, dry_run=dry_run)


def redeem_ticket(*, ticket: str, now: datetime) -> Subject | None:
    """Redeem a socket ticket and return its subject, None where it is unknown, used or expired."""
    return socket_tickets.redeem(ticket=ticket, now=now)
