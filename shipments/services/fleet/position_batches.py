"""Many positions at once: classified one by one while PostgreSQL reads the previous block of one COPY."""

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
    require_reporter,
)
from shipments.services.transactions import run_in_transaction
from shipments.services.validation import CLOCK_SKEW, InvalidArgument

# Large enough to be worth a write, small enough that PostgreSQL starts while we encode the next block.
_ROWS_PER_BLOCK: Final = 500
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
# COPY's binary format (PostgreSQL documentation, COPY): signature, flags, no extension; the trailer ends the rows.
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER: Final = b"\xff\xff"
_PACK_PLACE: Final = Struct(">hi16siqiqidid")
_PACK_MEASURE: Final = Struct(">id")
_NULL: Final = Struct(">i").pack(-1)
_TRUE: Final = Struct(">i?").pack(1, True)
# Concurrent batches of the same drivers are serialised here: else they would deadlock in the index.
_LOCK_DRIVERS: Final = """
SELECT FROM shipments_driver WHERE organization_id = %s AND id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_INSERT_MISSING: Final = f"""
INSERT INTO shipments_position ({POSITION_COLUMNS})
SELECT id, at, %s, latitude, longitude, accuracy, speed, bearing, %s
FROM unnest(%s::uuid[], %s::timestamptz[], %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])
     AS row(id, at, latitude, longitude, accuracy, speed, bearing)
ON CONFLICT DO NOTHING
"""  # noqa: S608  put together from constants
# In one order everywhere, so that concurrent batches of the same drivers cannot deadlock.
_UPSERT_LATEST: Final = f"""
INSERT INTO shipments_driverposition (driver_id, latitude, longitude, recorded_at, own)
SELECT row.*, %s
FROM unnest(%s::uuid[], %s::float8[], %s::float8[], %s::timestamptz[]) AS row(id, latitude, longitude, at)
ORDER BY id
{ON_CONFLICT_KEEP_NEWER} RETURNING driver_id
"""  # noqa: S608  put together from constants


@dataclass(slots=True)
class BatchResult:
    """The outcome of a batch: how many positions were stored or duplicates, and how many drivers moved.

    `refused`: index in the batch, and why. Implausible fixes are among them, although they are stored as evidence.
    """

    stored: int = 0
    duplicates: int = 0
    moved: int = 0
    refused: list[tuple[int, Exception]] = field(default_factory=list)


class _DriverState:
    """One driver while its fixes are classified: its refusal, its tracker, the latest time known of it."""

    __slots__ = ("head_at", "newest", "refusal", "tracker")

    def __init__(self, refusal: Exception | None, tracker: PlausibilityTracker | None, head: datetime) -> None:
        self.refusal = refusal
        self.tracker = tracker
        self.head_at = head
        self.newest: Fix | None = None


@dataclass(slots=True)
class _ClassifiedFixes:
    """The fixes of a batch: newer than all before of the same driver, older ones, and implausible ones."""

    drivers: dict[int, _DriverState]
    fresh: list[Fix] = field(default_factory=list)
    late: list[Fix] = field(default_factory=list)
    implausible: list[Fix] = field(default_factory=list)


def record_positions(*, by: Subject, now: datetime, batch: Sequence[Fix]) -> BatchResult:
    """Store many positions in one transaction, retried after a deadlock; see `record_position`.

    Refused ones are left out and named in the result; all others are stored. Fastest where each driver's fixes
    are in the order of their times. Raises Forbidden.
    """
    require_reporter(by)
    return run_in_transaction(lambda: _record(by, now, batch))


def _record(by: Subject, now: datetime, batch: Sequence[Fix]) -> BatchResult:
    result = BatchResult()
    with connection.cursor() as cursor:
        classified = _ClassifiedFixes(_driver_states(cursor, by, batch))
        rows = _classify(now, batch, classified, result)
        try:
            _copy(cursor, rows, now)
            result.stored = len(classified.fresh)
        except IntegrityError:  # a concurrent batch stored the same, or it is stored as implausible
            classified.late += [*classified.fresh, *rows]
        inserted = _insert_missing(cursor, classified.late, now, plausible=True)
        result.stored += inserted
        result.duplicates += len(classified.late) - inserted
        _insert_missing(cursor, classified.implausible, now, plausible=False)
        result.moved = _update_latest(
            cursor, by, [each.newest for each in classified.drivers.values() if each.newest]
        )
    return result


# -- classification ----------------------------------------------------------------------------------------------


def _driver_states(cursor: CursorWrapper, by: Subject, batch: Sequence[Fix]) -> dict[int, _DriverState]:
    """Return the drivers of the batch by their id as an integer, which hashes faster than a UUID."""
    own = is_own(by)
    ids = {fix.driver_id.int: fix.driver_id for fix in batch}
    driver_ids = [each for each in ids.values() if not own or each == by.driver_id]
    cursor.execute(_LOCK_DRIVERS, [by.organization_id, driver_ids])
    # A statement of its own, with a new snapshot: it sees what the batch before us committed.
    locked: LockedDrivers = lock_drivers(cursor, by, driver_ids)
    drivers = {}
    for number, driver_id in ids.items():
        _, last = locked.get(driver_id, ("", None))
        tracker = PlausibilityTracker(last if last and last.own else None) if own else None
        drivers[number] = _DriverState(refusal_of(locked, driver_id), tracker, last.recorded_at if last else _NEVER)
    return drivers


def _classify(
    now: datetime, batch: Sequence[Fix], classified: _ClassifiedFixes, result: BatchResult
) -> Iterator[Fix]:
    """Yield the new fixes in the order of the batch; collect all others in `classified` and `result`."""
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
    raise AssertionError  # `is_valid` and `check_values` agree


# -- writing ----------------------------------------------------------------------------------------------


def _copy(cursor: CursorWrapper, rows: Iterator[Fix], now: datetime) -> None:
    """Insert by COPY; raises IntegrityError where one of them exists, and stores none then."""
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
    """Yield blocks of rows in COPY's binary format: each value after its length, NULL as length -1."""
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
    """Return a time as PostgreSQL stores it: microseconds since 2000-01-01 UTC."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _insert_missing(cursor: CursorWrapper, rows: Sequence[Fix], now: datetime, *, plausible: bool) -> int:
    """Insert the rows that do not exist yet, and return how many."""
    if not rows:
        return 0
    names = ("driver_id", "recorded_at", "latitude", "longitude", "accuracy", "speed", "bearing")
    cursor.execute(_INSERT_MISSING, [now, plausible, *([*map(attrgetter(name), rows)] for name in names)])
    return int(cursor.rowcount)


def _update_latest(cursor: CursorWrapper, by: Subject, newest: Sequence[Fix]) -> int:
    """Update the latest position of each driver, and return how many moved."""
    if not newest:
        return 0
    names = ("driver_id", "latitude", "longitude", "recorded_at")
    cursor.execute(_UPSERT_LATEST, [is_own(by), *([*map(attrgetter(name), newest)] for name in names)])
    moved = {driver_id for (driver_id,) in cursor.fetchall()}
    for fix in newest:
        if fix.driver_id in moved:
            notify_position_recorded(by, fix)
    return len(moved)
