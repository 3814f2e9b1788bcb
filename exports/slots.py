"""How many reports a process reads at once: two. The others wait a little, and then are asked to come again."""

import threading
from collections.abc import Callable
from typing import Final

from django.db import connection
from rest_framework import status
from rest_framework.exceptions import APIException

MOST_AT_ONCE: Final = 2
MOST_WAITING: Final = 8
WAIT_SECONDS: Final = 5.0


class Busy(APIException):
    """As many reports as the process reads at once are being read."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "busy"
    default_detail = "As many exports run as this server does at once; try again soon, or order one by POST."
    wait = 5


class Slots:
    """So many places, and a bounded queue for them."""

    def __init__(self, most: int, *, waiting: int, seconds: float) -> None:
        self._free = threading.Semaphore(most)
        self._queue = threading.Semaphore(waiting)
        self._seconds = seconds

    def take(self) -> Callable[[], None]:
        """This will take a place and return what gives it back; raises Busy.

        While it waits, the thread holds no connection that others need.
        """
        if not self._free.acquire(blocking=False):
            self._wait()
        return self._free.release

    def _wait(self) -> None:
        if not self._queue.acquire(blocking=False):
            raise Busy
        try:
            if not connection.in_atomic_block:
                connection.close()
            if not self._free.acquire(timeout=self._seconds):
                raise Busy
        finally:
            self._queue.release()


readings: Final = Slots(MOST_AT_ONCE, waiting=MOST_WAITING, seconds=WAIT_SECONDS)
