"""Many positions at once: judged here, then one COPY for what is new."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Final

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from shipments.access import Subject
from shipments.services import fixes
from shipments.services.commits import committed
from shipments.services.fixes import Fix, Implausible, Way
from shipments.services.positions import COLUMNS, NEWER, is_own, known_drivers, objection, tell
from shipments.services.shipments import CLOCK_SKEW, Invalid

# Large enough to be worth a write, small enough that PostgreSQL begins while we write down the next.
_ROWS_A_BLOCK: Final = 1_000
_APPEND: Final = f"""
INSERT INTO shipments_position ({COLUMNS})
SELECT id, at, %s, latitude, longitude, accuracy, speed, bearing, %s
FROM unnest(%s::uuid[], %s::timestamptz[], %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])
     AS row(id, at, latitude, longitude, accuracy, speed, bearing)
ON CONFLICT DO NOTHING
"""  # noqa: S608
# In one order everywhere, so that two who bring positions of the same drivers never wait for each other.
_SHOW: Final = f"""
INSERT INTO shipments_driverposition (driver_id, latitude, longitude, recorded_at, own)
SELECT row.*, %s
FROM unnest(%s::uuid[], %s::float8[], %s::float8[], %s::timestamptz[]) AS row(id, latitude, longitude, at)
ORDER BY id
{NEWER} RETURNING driver_id
"""  # noqa: S608


@dataclass(slots=True)
class Ingested:
    """What became of many positions: so many `kept`, so many drivers shown elsewhere now.

    `refused`: the place in the list, and why. Implausible ones are among them, although they stay as evidence.
    """

    kept: int = 0
    duplicates: int = 0
    moved: int = 0
    refused: list[tuple[int, Exception]] = field(default_factory=list)


@dataclass(slots=True)
class _Judged:
    """What is newer than all that is known of its driver, what is not, and what nobody believes."""

    fresh: list[Fix] = field(default_factory=list)
    late: list[Fix] = field(default_factory=list)
    doubted: list[Fix] = field(default_factory=list)
    newest: list[Fix] = field(default_factory=list)


def record_positions(*, by: Subject, now: datetime, batch: Sequence[Fix]) -> Ingested:
    """This will keep many positions in one transaction; see `record_position`.

    What cannot be taken is left out and named in the result; all others are kept. Raises Forbidden.
    """
    by.require("positions:write")
    return committed(lambda: _record(by, now, batch))


def _record(by: Subject, now: datetime, batch: Sequence[Fix]) -> Ingested:
    found = Ingested()
    with connection.cursor() as cursor:
        judged = _judge(cursor, by, _sound(now, batch, found), found)
        try:
            _copy(cursor, judged.fresh, now)
            found.kept = len(judged.fresh)
        except IntegrityError:  # somebody brought the same at this very moment, or it was doubted before
            judged.late += judged.fresh
        kept = _append(cursor, judged.late, now, plausible=True)
        found.kept += kept
        found.duplicates += len(judged.late) - kept
        _append(cursor, judged.doubted, now, plausible=False)
        found.moved = _show(cursor, by, judged.newest)
    return found


# -- judging ----------------------------------------------------------------------------------------------

_Groups = dict[uuid.UUID, list[tuple[int, Fix]]]


def _sound(now: datetime, batch: Sequence[Fix], found: Ingested) -> _Groups:
    """This will return what has sound values, by driver, each with its place in the list."""
    oldest, newest = now - fixes.LONGEST_AGE, now + CLOCK_SKEW
    groups: _Groups = defaultdict(list)
    for place, fix in enumerate(batch):
        if fixes.is_sound(fix, oldest, newest):
            groups[fix.driver_id].append((place, fix))
            continue
        try:
            fixes.check(fix, now=now)
        except Invalid as error:
            found.refused.append((place, error))
    return groups


def _judge(cursor: CursorWrapper, by: Subject, groups: _Groups, found: Ingested) -> _Judged:
    own = is_own(by)
    known = known_drivers(cursor, by, [each for each in groups if not own or each == by.driver_id])
    judged = _Judged()
    for driver_id, group in groups.items():
        if refusal := objection(known, driver_id):
            found.refused += ((place, refusal) for place, _ in group)
            continue
        _, last = known[driver_id]
        group.sort(key=lambda placed: placed[1].recorded_at)
        way = Way(last if last and last.own else None) if own else None
        _judge_way(group, way, last.recorded_at if last else None, judged, found)
    return judged


def _judge_way(
    group: Iterable[tuple[int, Fix]], way: Way | None, known: datetime | None, judged: _Judged, found: Ingested
) -> None:
    """This will judge what one driver reports, in the order of time."""
    before = newest = None
    for place, fix in group:
        at = fix.recorded_at
        if at == before:
            found.duplicates += 1
            continue
        before = at
        if way is not None and not way.takes(fix):
            judged.doubted.append(fix)
            found.refused.append((place, Implausible()))
        elif known is not None and at <= known:
            judged.late.append(fix)
        else:
            judged.fresh.append(fix)
            newest = fix
    if newest is not None:
        judged.newest.append(newest)


# -- writing ----------------------------------------------------------------------------------------------


def _copy(cursor: CursorWrapper, fresh: Sequence[Fix], now: datetime) -> None:
    """This will append by COPY; raises IntegrityError where one of them is there, and keeps none then."""
    if not fresh:
        return
    with (
        transaction.atomic(),
        connection.wrap_database_errors,
        cursor.copy(f"COPY shipments_position ({COLUMNS}) FROM STDIN") as copy,
    ):
        for start in range(0, len(fresh), _ROWS_A_BLOCK):
            copy.write(_text(fresh[start : start + _ROWS_A_BLOCK], now))


def _text(rows: Sequence[Fix], now: datetime) -> str:
    """This will write rows in COPY's text format; times have their offset, numbers all their digits."""
    lines = []
    for fix in rows:
        accuracy = r"\N" if fix.accuracy is None else fix.accuracy
        speed = r"\N" if fix.speed is None else fix.speed
        bearing = r"\N" if fix.bearing is None else fix.bearing
        lines.append(
            f"{fix.driver_id}\t{fix.recorded_at}\t{now}\t{fix.latitude}\t{fix.longitude}\t{accuracy}\t{speed}"
            f"\t{bearing}\tt\n"
        )
    return "".join(lines)


def _append(cursor: CursorWrapper, rows: Sequence[Fix], now: datetime, *, plausible: bool) -> int:
    """This will append what is not there yet, and return how many that were."""
    if not rows:
        return 0
    names = ("driver_id", "recorded_at", "latitude", "longitude", "accuracy", "speed", "bearing")
    cursor.execute(_APPEND, [now, plausible, *([*map(attrgetter(name), rows)] for name in names)])
    return int(cursor.rowcount)


def _show(cursor: CursorWrapper, by: Subject, newest: Sequence[Fix]) -> int:
    """This will show each driver at its newest position, and return how many moved."""
    if not newest:
        return 0
    names = ("driver_id", "latitude", "longitude", "recorded_at")
    cursor.execute(_SHOW, [is_own(by), *([*map(attrgetter(name), newest)] for name in names)])
    moved = {driver_id for (driver_id,) in cursor.fetchall()}
    for fix in newest:
        if fix.driver_id in moved:
            tell(by, fix)
    return len(moved)
