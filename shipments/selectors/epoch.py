"""The epoch: which history of the database the sequence numbers belong to.

`<system identifier>.<timeline>`: a restored or promoted database may reuse numbers for other events, and
only these two tell (PostgreSQL documentation, pg_control_system and WAL file names).
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
    """Return today's epoch, at most one second old."""
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
