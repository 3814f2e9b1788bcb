"""Who waits for whose lock in PostgreSQL, since when, and with which statement; without values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection

from monitoring.sql_text import normalise_sql

# The wait's beginning stands in pg_locks since PostgreSQL 14; where a lock was got meanwhile it is NULL.
_WAITS: Final = """
SELECT waiting.pid, waiting.application_name, waiting.query, blocking.pid, blocking.application_name,
       blocking.state, blocking.query, extract(epoch FROM clock_timestamp() - locks.since)::float8,
       extract(epoch FROM clock_timestamp() - blocking.xact_start)::float8, clock_timestamp()
FROM pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker (pid)
JOIN pg_stat_activity AS blocking ON blocking.pid = blocker.pid
LEFT JOIN LATERAL (
    SELECT min(waitstart) AS since FROM pg_locks WHERE pg_locks.pid = waiting.pid AND NOT granted
) AS locks ON true
WHERE waiting.datname = current_database() AND waiting.wait_event_type = 'Lock'
ORDER BY locks.since NULLS LAST, waiting.pid
"""


@dataclass(frozen=True)
class Session:
    """One session of PostgreSQL; `statement` is the current one, or the last where the session is idle."""

    pid: int
    application: str
    statement: str


@dataclass(frozen=True)
class LockWait:
    """A session that waits for another's lock.

    `seconds`: for how long. `state` is the blocker's (`active`, `idle in transaction`), and `open_seconds` for how
    long its transaction has been open.
    """

    waiting: Session
    blocking: Session
    state: str
    seconds: float
    open_seconds: float
    at: datetime


def lock_waits() -> list[LockWait]:
    """Return the waits of this database's sessions, the longest first."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITS)
        rows = cursor.fetchall()
    return [
        LockWait(
            waiting=_session(row[0], row[1], row[2]), blocking=_session(row[3], row[4], row[6]),
            state=row[5] or "", seconds=max(0.0, row[7] or 0.0), open_seconds=max(0.0, row[8] or 0.0), at=row[9],
        )
        for row in rows
    ]  # fmt: skip


def end_blocker(pid: int) -> bool:
    """End the session of a blocker, which rolls its transaction back; False where it blocks nobody now."""
    if pid not in {wait.blocking.pid for wait in lock_waits()}:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        return bool(cursor.fetchone()[0])


def _session(pid: int, application: str | None, query: str | None) -> Session:
    # Parameters of the driver are `$1`: normalising masks what stands in the text itself.
    return Session(pid, application or "-", normalise_sql(query or "") or "-")
