"""A small pool of connections for reading whole tables, each with a snapshot of its own.

A new connection is a new PostgreSQL backend with empty catalogue caches, in which planning a report takes longer
than reading its first row.
"""

import atexit
import threading
import time
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from shipments.selectors.async_pool import connection_arguments

Connection = psycopg.Connection[tuple[Any, ...]]
# `cells` rely on these settings. A read may take any time, but not in a transaction that its reader has left idle.
_SESSION: Final = (
    "-c timezone=UTC -c datestyle=ISO -c default_transaction_read_only=on -c statement_timeout=0"
    " -c idle_in_transaction_session_timeout=120000 -c lock_timeout=2000"
)
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# As many as the synchronous exports that a process runs at a time.
MAX_IDLE: Final = 2
IDLE_SECONDS: Final = 60.0


class SnapshotPool:
    """Idle connections of this process; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Connection]] = []
        self._sweeper: threading.Timer | None = None

    def acquire(self) -> Connection:
        """Return a connection with a snapshot of its own; raises psycopg.OperationalError."""
        while (idle := self._pop_idle()) is not None:
            # The server may have gone or closed it meanwhile.
            with suppress(psycopg.OperationalError):
                idle.execute(_BEGIN)
                return idle
            idle.close()
        fresh = psycopg.connect(**connection_arguments("export", _SESSION))
        try:
            fresh.execute(_BEGIN)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """End the snapshot; keep the connection where it is `reusable`, idle in transaction, and there is room."""
        if reusable and connection.info.transaction_status == TransactionStatus.INTRANS:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
                with self._lock:
                    if len(self._idle) < MAX_IDLE:
                        self._idle.append((time.monotonic(), connection))
                        self._schedule_sweep()
                        return
        connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
        for _, connection in idle:
            connection.close()

    def _pop_idle(self) -> Connection | None:
        with self._lock:
            return self._idle.pop()[1] if self._idle else None

    def _schedule_sweep(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Timer(IDLE_SECONDS, self._close_expired)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _close_expired(self) -> None:
        """Close connections that have been idle for IDLE_SECONDS."""
        since = time.monotonic() - IDLE_SECONDS
        with self._lock:
            self._sweeper = None
            expired = [connection for at, connection in self._idle if at <= since]
            self._idle = [(at, connection) for at, connection in self._idle if at > since]
            if self._idle:
                self._schedule_sweep()
        for connection in expired:
            connection.close()


pool: Final = SnapshotPool()
atexit.register(pool.close)
