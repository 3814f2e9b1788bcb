"""Slots that several tenants share fairly: each holds a share of them at most, and those who wait take turns."""

import threading
from collections import Counter, deque
from typing import Final


class SlotsBusy(Exception):
    """As many wait as may, or the wait took too long."""


class FairSlots:
    """At most `limit` holders, `share` of them of one tenant; at most `max_waiting` threads of each tenant wait.

    Thread-safe. A slot that becomes free goes to the tenant that waits and was served longest ago.
    """

    def __init__(self, limit: int, *, share: int, max_waiting: int) -> None:
        self.limit = limit
        self._share = share
        self._max_waiting: Final = max_waiting
        self._lock = threading.Lock()
        self._holders: Counter[str] = Counter()
        # By tenant, in the order of their turns; tenants without a waiting thread are left out.
        self._waiting: dict[str, deque[threading.Event]] = {}

    def try_acquire(self, tenant: str) -> bool:
        """Take a slot if one is free for this tenant and none of its threads waits."""
        with self._lock:
            return self._take(tenant)

    def acquire(self, tenant: str, *, timeout: float) -> None:
        """Take a slot, waiting up to `timeout` seconds for one; raises SlotsBusy."""
        with self._lock:
            if self._take(tenant):
                return
            line = self._waiting.get(tenant, deque())
            if len(line) >= self._max_waiting:
                raise SlotsBusy
            granted = threading.Event()
            line.append(granted)
            self._waiting[tenant] = line
        if granted.wait(timeout):
            return
        with self._lock:
            if not granted.is_set():  # else it was granted just now
                line.remove(granted)
                if not line:
                    del self._waiting[tenant]
                raise SlotsBusy

    def release(self, tenant: str) -> None:
        """Give a slot back, and hand it to the tenant whose turn it is."""
        with self._lock:
            self._holders[tenant] -= 1
            self._holders += Counter()  # forget tenants that hold none
            for each in list(self._waiting):
                if self._holders.total() >= self.limit:
                    return
                if self._holders[each] < self._share:
                    self._grant(each)

    def _take(self, tenant: str) -> bool:
        is_free = self._holders.total() < self.limit and self._holders[tenant] < self._share
        if is_free and tenant not in self._waiting:
            self._holders[tenant] += 1
            return True
        return False

    def _grant(self, tenant: str) -> None:
        line = self._waiting.pop(tenant)
        line.popleft().set()
        self._holders[tenant] += 1
        if line:
            self._waiting[tenant] = line  # at the end: the others come first
