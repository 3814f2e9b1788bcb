"""The epoch: the history of the database that sequence numbers belong to, as `<system identifier>.<timeline>`.

A restored or promoted database may use numbers again for other events; only these two values show it (PostgreSQL
documentation: pg_control_system, WAL file names).
"""

import threading
import time

from django.db import connection

EPOCH_SQL = (
    "SELECT system_identifier::text || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
    " FROM pg_control_system()"
)
_CACHE_SECONDS = 1.0
_lock = threading.Lock()
_cached: tuple[float, str] | None = None


def current() -> str:
    """Return the epoch as read at most one second ago."""
    global _cached
    with _lock:
        if _cached and time.monotonic() - _cached[0] < _CACHE_SECONDS:
            return _cached[1]
    with connection.cursor() as cursor:
        cursor.execute(EPOCH_SQL)
        epoch = str(cursor.fetchone()[0])
    with _lock:
        _cached = (time.monotonic(), epoch)
    return epoch
