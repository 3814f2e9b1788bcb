"""Drivers' positions: all are stored, the latest is shown. They are no events of the log."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from shipments import representation, signals
from shipments.auth.subjects import STAFF_ROLES, Forbidden, Subject
from shipments.models import Driver, DriverPosition
from shipments.services.fleet import plausibility
from shipments.services.fleet.drivers import DriverNotFound
from shipments.services.fleet.plausibility import Fix, Implausible, LastSighting, PlausibilityTracker
from shipments.services.transactions import run_in_transaction

LATEST, LATE, DUPLICATE = "latest", "late", "duplicate"
OUTCOMES: Final = (LATEST, LATE, DUPLICATE)
POSITION_COLUMNS: Final = (
    "driver_id, recorded_at, received_at, latitude, longitude, accuracy, speed, bearing, plausible"
)
# The lock keeps the driver from being removed concurrently: positions have no foreign key.
_LOCK_DRIVERS: Final = """
SELECT driver.id, driver.status, last.latitude, last.longitude, last.recorded_at, last.own
FROM shipments_driver driver LEFT JOIN shipments_driverposition last ON last.driver_id = driver.id
WHERE driver.organization_id = %s AND driver.id = ANY(%s)
FOR KEY SHARE OF driver
"""
_IMPLAUSIBLE_BETWEEN: Final = """
SELECT latitude, longitude, recorded_at FROM shipments_position
WHERE driver_id = %s AND recorded_at > %s AND recorded_at < %s AND NOT plausible
ORDER BY recorded_at DESC LIMIT 2
"""
# The latest position is shown; a system's does not replace the driver's own until that is 10 minutes older.
ON_CONFLICT_KEEP_NEWER: Final = """
ON CONFLICT (driver_id) DO UPDATE SET latitude = EXCLUDED.latitude, longitude = EXCLUDED.longitude,
    recorded_at = EXCLUDED.recorded_at, own = EXCLUDED.own
WHERE shipments_driverposition.recorded_at < EXCLUDED.recorded_at AND (
    EXCLUDED.own OR NOT shipments_driverposition.own
    OR shipments_driverposition.recorded_at < EXCLUDED.recorded_at - interval '10 minutes'
)
"""
_INSERT_POSITION: Final = f"""
WITH kept AS (
    INSERT INTO shipments_position ({POSITION_COLUMNS})
    VALUES (%(driver)s, %(at)s, %(now)s, %(latitude)s, %(longitude)s, %(accuracy)s, %(speed)s, %(bearing)s,
            %(plausible)s)
    ON CONFLICT DO NOTHING RETURNING 1
), newest AS (
    INSERT INTO shipments_driverposition (driver_id, latitude, longitude, recorded_at, own)
    SELECT %(driver)s, %(latitude)s, %(longitude)s, %(at)s, %(own)s
    WHERE %(plausible)s AND EXISTS (SELECT FROM kept)
    {ON_CONFLICT_KEEP_NEWER} RETURNING 1
)
SELECT EXISTS (SELECT FROM kept), EXISTS (SELECT FROM newest)
"""  # noqa: S608  put together from constants


@dataclass(frozen=True, slots=True)
class PositionResult:
    """The outcome of a position: `latest` (shown now), `late` (stored behind a newer one), `duplicate`."""

    fix: Fix
    outcome: str


def record_position(*, by: Subject, now: datetime, fix: Fix) -> PositionResult:
    """Store a position, and show it unless a newer one is known; a duplicate has no effect.

    A driver reports its own position only, and its fixes must be plausible; the system (simulator, imports) and API
    keys of staff report any driver's and are trusted. One transaction, retried after a deadlock. Raises Forbidden,
    DriverNotFound, InvalidArgument; Implausible for a position that is stored and not shown.
    """
    require_reporter(by)
    _require_own_driver(by, fix.driver_id)
    plausibility.check_values(fix, now=now)
    is_new, is_latest, plausible = run_in_transaction(lambda: _insert_position(by, now, fix))
    if not plausible:
        raise Implausible
    return PositionResult(fix, LATEST if is_latest else LATE if is_new else DUPLICATE)


def is_own(by: Subject) -> bool:
    """Tell whether the subject reports its own position, unlike a system, which reports many drivers'."""
    return not by.reports_all_drivers


def require_reporter(by: Subject) -> None:
    """Raise Forbidden unless the subject reports positions: its own, or those of all drivers."""
    if is_own(by):
        is_key_of_staff = by.scopes is not None and by.role in STAFF_ROLES
        by.require("fleet_positions:write" if is_key_of_staff else "positions:write")


def _require_own_driver(by: Subject, driver_id: uuid.UUID) -> None:
    if is_own(by) and driver_id != by.driver_id:
        raise DriverNotFound(str(driver_id))


def _insert_position(by: Subject, now: datetime, fix: Fix) -> tuple[bool, bool, bool]:
    with connection.cursor() as cursor:
        drivers = lock_drivers(cursor, by, [fix.driver_id])
        if refusal := refusal_of(drivers, fix.driver_id):
            raise refusal
        _, last = drivers[fix.driver_id]
        own = is_own(by)
        plausible = not own or _is_plausible(cursor, last, fix)
        cursor.execute(
            _INSERT_POSITION,
            {
                "driver": fix.driver_id, "at": fix.recorded_at, "now": now, "latitude": fix.latitude,
                "longitude": fix.longitude, "accuracy": fix.accuracy, "speed": fix.speed, "bearing": fix.bearing,
                "plausible": plausible, "own": own,
            },
        )  # fmt: skip
        is_new, is_latest = cursor.fetchone()
    if is_latest:
        notify_position_recorded(by, fix)
    return is_new, is_latest, plausible


def _is_plausible(cursor: CursorWrapper, last: LastSighting | None, fix: Fix) -> bool:
    if last is None or not last.own or plausibility.is_reachable(last, fix):
        return True
    cursor.execute(_IMPLAUSIBLE_BETWEEN, [fix.driver_id, last.recorded_at, fix.recorded_at])
    rejected = tuple(LastSighting(*row) for row in reversed(cursor.fetchall()))
    return PlausibilityTracker(last, rejected).accept(fix)


LockedDrivers = Mapping[uuid.UUID, tuple[str, LastSighting | None]]


def lock_drivers(cursor: CursorWrapper, by: Subject, driver_ids: Collection[uuid.UUID]) -> LockedDrivers:
    """Lock the drivers against removal; return status and latest position of each that exists.

    The locks last until the caller's transaction ends.
    """
    cursor.execute(_LOCK_DRIVERS, [by.organization_id, list(driver_ids)])
    return {
        driver_id: (status, None if latest[2] is None else LastSighting(*latest))
        for driver_id, status, *latest in cursor.fetchall()
    }


def refusal_of(drivers: LockedDrivers, driver_id: uuid.UUID) -> DriverNotFound | Forbidden | None:
    """Return why a position of this driver is refused, None where it is accepted."""
    if driver_id not in drivers:
        return DriverNotFound(str(driver_id))
    if drivers[driver_id][0] == Driver.Status.INACTIVE:
        return Forbidden("This driver is inactive: its position is not taken.")
    return None


def notify_position_recorded(by: Subject, fix: Fix) -> None:
    """Send `signals.position_recorded` once the caller's transaction has committed."""
    transaction.on_commit(partial(_send_position_recorded, by.organization_id, fix), robust=True)


def _send_position_recorded(organization_id: uuid.UUID, fix: Fix) -> None:
    position = representation.driver_position(fix.driver_id, fix.latitude, fix.longitude, fix.recorded_at)
    signals.position_recorded.send_robust(
        sender=DriverPosition,
        organization_id=organization_id,
        driver_id=fix.driver_id,
        position=position,
        version=representation.microseconds(fix.recorded_at),
    )
