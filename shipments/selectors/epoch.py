"""The epoch: which history of the database the sequence numbers belong to.

`<system identifier>.<timeline>`: a restored or promoted database may reuse numbers for other events, and
only these two tell (PostgreSQL documentation, pg_control_system and WAL file names).
"""

import threading
import time

from django.db import connection

SQL = (
    "SELECT system_identifier::text || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
    " FROM pg_control_system()"
)
_KEPT_SECONDS = 1.0
_lock = threading.Lock()
_kept: tuple[float, str] | None = None


def current() -> str:
    """This will return today's epoch, at most one second old."""
    global _kept
    with _lock:
        if _kept and time.monotonic() - _kept[0] < _KEPT_SECONDS:
            return _kept[1]
    with connection.cursor() as cursor:
        cursor.execute(SQL)
        epoch = str(cursor.fetchone()[0])
    with _lock:
        _kept = (time.monotonic(), epoch)
    return epoch
