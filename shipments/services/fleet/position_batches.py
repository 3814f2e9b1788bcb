"""Many positions at once: judged one after the other while PostgreSQL takes those before, in one COPY."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from struct import Struct
from typing import Final

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from shipments.auth.subjects import Subject
from shipments.services.fleet import plausibility
from shipments.services.fleet.plausibility import Fix, Implausible, PlausibilityTracker
from shipments.services.fleet.positions import (
    ON_CONFLICT_KEEP_NEWER,
    POSITION_COLUMNS,
    LockedDrivers,
    is_own,
    lock_drivers,
    notify_position_recorded,
    refusal_of,
)
from shipments.services.transactions import run_in_transaction
from shipments.services.validation import CLOCK_SKEW, InvalidArgument

# Large enough to be worth a write, small enough that PostgreSQL begins while we write down the next.
_ROWS_PER_BLOCK: Final = 500
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
# COPY's binary format (PostgreSQL documentation, COPY): signature, flags, no extension; at the end no row.
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER: Final = b"\xff\xff"
_PACK_PLACE: Final = Struct(">hi16siqiqidid")
_PACK_MEASURE: Final = Struct(">id")
_NULL: Final = Struct(">i").pack(-1)
_TRUE: Final = Struct(">i?").pack(1, True)
# Those who bring positions of the same drivers take turns: else they would wait for each other in the index.
_LOCK_DRIVERS: Final = """
SELECT FROM shipments_driver WHERE organization_id = %s AND id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_INSERT_MISSING: Final = f"""
INSERT INTO shipments_position ({POSITION_COLUMNS})
SELECT id, at, %s, latitude, longitude, accuracy, speed, bearing, %s
FROM unnest(%s::uuid[], %s::timestamptz[], %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])
     AS row(id, at, latitude, longitude, accuracy, speed, bearing)
ON CONFLICT DO NOTHING
"""
# In one order everywhere, so that two who bring positions of the same drivers never wait for each other.
_UPSERT_LATEST: Final = f"""
INSERT INTO shipments_driverposition (driver_id, latitude, longitude, recorded_at, own)
SELECT row.*, %s
FROM unnest(%s::uuid[], %s::float8[], %s::float8[], %s::timestamptz[]) AS row(id, latitude, longitude, at)
ORDER BY id
{ON_CONFLICT_KEEP_NEWER} RETURNING driver_id
"""


@dataclass(slots=True)
class BatchResult:
    """What became of many positions: so many `kept`, so many drivers shown elsewhere now.

    `refused`: the place in the list, and why. Implausible ones are among them, although they stay as evidence.
    """

    stored: int = 0
    duplicates: int = 0
    moved: int = 0
    refused: list[tuple[int, Exception]] = field(default_factory=list)


class _DriverState:
    """One driver while its positions come in: whether it is taken, its way, the newest time that is known."""

    __slots__ = ("head_at", "newest", "refusal", "tracker")

    def __init__(self, refusal: Exception | None, tracker: PlausibilityTracker | None, head: datetime) -> None:
        self.refusal = refusal
        self.tracker = tracker
        self.head_at = head
        self.newest: Fix | None = None


@dataclass(slots=True)
class _ClassifiedFixes:
    """What is newer than all before of its driver, what is not, and what nobody believes."""

    drivers: dict[int, _DriverState]
    fresh: list[Fix] = field(default_factory=list)
    late: list[Fix] = field(default_factory=list)
    implausible: list[Fix] = field(default_factory=list)


def record_positions(*, by: Subject, now: datetime, batch: Sequence[Fix]) -> BatchResult:
    """Keep many positions in one transaction; see `record_position`.

    What cannot be taken is left out and named in the result; all others are kept. Quickest where each driver's
    come in the order of their times. Raises Forbidden.
    """
    by.require("positions:write")
    return run_in_transaction(lambda: _record(by, now, batch))


def _record(by: Subject, now: datetime, batch: Sequence[Fix]) -> BatchResult:
    result = BatchResult()
    with connection.cursor() as cursor:
        classified = _ClassifiedFixes(_driver_states(cursor, by, batch))
        rows = _classify(now, batch, classified, result)
        try:
            _copy(cursor, rows, now)
            result.stored = len(classified.fresh)
        except IntegrityError:  # somebody brought the same at this very moment, or it was doubted before
            classified.late += [*classified.fresh, *rows]
        inserted = _insert_missing(cursor, classified.late, now, plausible=True)
        result.stored += inserted
        result.duplicates += len(classified.late) - inserted
        _insert_missing(cursor, classified.implausible, now, plausible=False)
        result.moved = _update_latest(
            cursor, by, [each.newest for each in classified.drivers.values() if each.newest]
        )
    return result


# -- judging ----------------------------------------------------------------------------------------------


def _driver_states(cursor: CursorWrapper, by: Subject, batch: Sequence[Fix]) -> dict[int, _DriverState]:
    """Return the drivers of the batch by the number of their id, which is quicker to look up."""
    own = is_own(by)
    ids = {fix.driver_id.int: fix.driver_id for fix in batch}
    driver_ids = [each for each in ids.values() if not own or each == by.driver_id]
    cursor.execute(_LOCK_DRIVERS, [by.organization_id, driver_ids])
    locked: LockedDrivers = lock_drivers(
        cursor, by, driver_ids
    )  # a statement of its own: it sees what the one before us did
    drivers = {}
    for number, driver_id in ids.items():
        _, last = locked.get(driver_id, ("", None))
        tracker = PlausibilityTracker(last if last and last.own else None) if own else None
        drivers[number] = _DriverState(refusal_of(locked, driver_id), tracker, last.recorded_at if last else _NEVER)
    return drivers


def _classify(
    now: datetime, batch: Sequence[Fix], classified: _ClassifiedFixes, result: BatchResult
) -> Iterator[Fix]:
    """Yield what is new, in the order in which it came, and put aside everything else."""
    oldest, newest = now - plausibility.MAX_AGE, now + CLOCK_SKEW
    drivers, fresh = classified.drivers, classified.fresh
    for index, fix in enumerate(batch):
        driver = drivers[fix.driver_id.int]
        at = fix.recorded_at
        if driver.refusal is not None or not plausibility.is_valid(fix, oldest, newest):
            result.refused.append((index, driver.refusal or _validation_error(fix, now)))
        elif driver.tracker is not None and not driver.tracker.accept(fix):
            classified.implausible.append(fix)
            result.refused.append((index, Implausible()))
        elif at <= driver.head_at:
            classified.late.append(fix)
        else:
            driver.head_at, driver.newest = at, fix
            fresh.append(fix)
            yield fix


def _validation_error(fix: Fix, now: datetime) -> Exception:
    try:
        plausibility.check_values(fix, now=now)
    except InvalidArgument as error:
        return error
    raise AssertionError  # both say the same


# -- writing ----------------------------------------------------------------------------------------------


def _copy(cursor: CursorWrapper, rows: Iterator[Fix], now: datetime) -> None:
    """Append by COPY; raises IntegrityError where one of them is there, and keeps none then."""
    blocks = _blocks(rows, now)
    first = next(blocks, None)
    if first is None:
        return
    with (
        transaction.atomic(),
        connection.wrap_database_errors,
        cursor.copy(f"COPY shipments_position ({POSITION_COLUMNS}) FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.write(_COPY_HEADER + first)
        for block in blocks:
            copy.write(block)
        copy.write(_COPY_TRAILER)


def _blocks(rows: Iterator[Fix], now: datetime) -> Iterator[bytes]:
    """Write rows in COPY's binary format: each value after its length, NULL as the length -1."""
    received = _postgres_microseconds(now)
    lines: list[bytes] = []
    for fix in rows:
        accuracy, speed, bearing = fix.accuracy, fix.speed, fix.bearing
        lines.append(
            _PACK_PLACE.pack(
                9, 16, fix.driver_id.bytes, 8, _postgres_microseconds(fix.recorded_at), 8, received,
                8, fix.latitude, 8, fix.longitude,
            )
            + (_NULL if accuracy is None else _PACK_MEASURE.pack(8, accuracy))
            + (_NULL if speed is None else _PACK_MEASURE.pack(8, speed))
            + (_NULL if bearing is None else _PACK_MEASURE.pack(8, bearing))
            + _TRUE
        )  # fmt: skip
        if len(lines) == _ROWS_PER_BLOCK:
            yield b"".join(lines)
            lines.clear()
    if lines:
        yield b"".join(lines)


def _postgres_microseconds(at: datetime) -> int:
    """Return a time as PostgreSQL counts it, since 2000."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _insert_missing(cursor: CursorWrapper, rows: Sequence[Fix], now: datetime, *, plausible: bool) -> int:
    """Append what is not there yet, and return how many that were."""
    if not rows:
        return 0
    names = ("driver_id", "recorded_at", "latitude", "longitude", "accuracy", "speed", "bearing")
    cursor.execute(_INSERT_MISSING, [now, plausible, *([*map(attrgetter(name), rows)] for name in names)])
    return int(cursor.rowcount)


def _update_latest(cursor: CursorWrapper, by: Subject, newest: Sequence[Fix]) -> int:
    """Show each driver at its newest position, and return how many moved."""
    if not newest:
        return 0
    names = ("driver_id", "latitude", "longitude", "recorded_at")
    cursor.execute(_UPSERT_LATEST, [is_own(by), *([*map(attrgetter(name), newest)] for name in names)])
    moved = {driver_id for (driver_id,) in cursor.fetchall()}
    for fix in newest:
        if fix.driver_id in moved:
            notify_position_recorded(by, fix)
    return len(moved)
