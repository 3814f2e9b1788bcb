"""The epoch: the history of the database that sequence numbers belong to, the same opaque text in every process.

A restored or promoted database may use numbers again for other events. `freight_epoch()`, a function of the
database, digests what shows it: a stored generation, PostgreSQL's system identifier and timeline, and the oids of
the database and of the event table. A dump, a template copy or a promotion changes one of them by itself; for what
changes none, such as a disk snapshot, there is a new generation (`services/history`). See docs/decisions/0051.
"""

import threading
import time
from typing import Final

from django.db import connection

EPOCH_SQL: Final = "SELECT freight_epoch()"
_CACHE_SECONDS: Final = 1.0
_lock = threading.Lock()
_cached: tuple[float, str] | None = None


def current() -> str:
    """Return the epoch as read at most one second ago."""
    with _lock:
        if _cached and time.monotonic() - _cached[0] < _CACHE_SECONDS:
            return _cached[1]
    return read()


def read() -> str:
    """Read the epoch now."""
    global _cached
    with connection.cursor() as cursor:
        cursor.execute(EPOCH_SQL)
        epoch = str(cursor.fetchone()[0])
    # In a transaction it may be one that is never committed.
    if not connection.in_atomic_block:
        with _lock:
            _cached = (time.monotonic(), epoch)
    return epoch
