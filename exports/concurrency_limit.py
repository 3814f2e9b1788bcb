"""A concurrency limit with a bounded queue: a process reads two reports at once, later requests wait up to 5 s."""

import threading
from collections.abc import Callable
from typing import Final

from django.db import connection
from rest_framework import status
from rest_framework.exceptions import APIException

MAX_CONCURRENT: Final = 2
MAX_WAITING: Final = 8
TIMEOUT_SECONDS: Final = 5.0


class ServerBusy(APIException):
    """The limit is reached and the queue is full, or the wait timed out: 429 with Retry-After."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "busy"
    default_detail = "As many exports run as this server does at once; try again soon, or order one by POST."
    wait = 5


class ConcurrencyLimit:
    """At most `limit` holders at once; up to `max_waiting` threads wait `timeout` seconds for a slot."""

    def __init__(self, limit: int, *, max_waiting: int, timeout: float) -> None:
        self._free = threading.Semaphore(limit)
        self._queue = threading.Semaphore(max_waiting)
        self._timeout = timeout

    def acquire(self) -> Callable[[], None]:
        """Take a slot and return the function that releases it.

        A thread that waits closes its database connection first, unless it is in a transaction. Raises ServerBusy.
        """
        if not self._free.acquire(blocking=False):
            self._wait()
        return self._free.release

    def _wait(self) -> None:
        if not self._queue.acquire(blocking=False):
            raise ServerBusy
        try:
            if not connection.in_atomic_block:
                connection.close()
            if not self._free.acquire(timeout=self._timeout):
                raise ServerBusy
        finally:
            self._queue.release()


report_reads: Final = ConcurrencyLimit(MAX_CONCURRENT, max_waiting=MAX_WAITING, timeout=TIMEOUT_SECONDS)
