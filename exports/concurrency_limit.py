"""A concurrency limit with a bounded queue: a process reads three reports at once, two of one organisation.

Later requests wait up to 5 s, and organisations take turns.
"""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Final

from django.db import connection
from rest_framework import status
from rest_framework.exceptions import APIException

from exports.fair_slots import FairSlots, SlotsBusy

MAX_CONCURRENT: Final = 3
MAX_CONCURRENT_PER_ORGANIZATION: Final = 2
MAX_WAITING: Final = 8
TIMEOUT_SECONDS: Final = 5.0


class ServerBusy(APIException):
    """The limit is reached and the queue is full, or the wait timed out: 429 with Retry-After."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "exports_busy"
    default_detail = "As many exports run as this server does at once; try again soon, or order one by POST."
    wait = 5


class ConcurrencyLimit:
    """At most `limit` holders, `share` of one organisation; `max_waiting` threads of each wait `timeout` s."""

    def __init__(self, limit: int, *, share: int, max_waiting: int, timeout: float) -> None:
        self._slots = FairSlots(limit, share=share, max_waiting=max_waiting)
        self._timeout = timeout

    def acquire(self, organization_id: uuid.UUID) -> Callable[[], None]:
        """Take a slot and return the function that releases it.

        A thread that waits closes its database connection first, unless it is in a transaction. Raises ServerBusy.
        """
        tenant = str(organization_id)
        if not self._slots.try_acquire(tenant):
            if not connection.in_atomic_block:
                connection.close()
            try:
                self._slots.acquire(tenant, timeout=self._timeout)
            except SlotsBusy:
                raise ServerBusy from None
        return partial(self._slots.release, tenant)


report_reads: Final = ConcurrencyLimit(
    MAX_CONCURRENT, share=MAX_CONCURRENT_PER_ORGANIZATION, max_waiting=MAX_WAITING, timeout=TIMEOUT_SECONDS
)
