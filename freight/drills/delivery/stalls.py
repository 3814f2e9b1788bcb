"""How long the machine kept us from looking and the servers from running: no fault of what is measured.

A loaded machine makes everything late. What is subtracted from a lateness is measured where it arises: the time for
which this process' event loop did not turn, and the time for which a server's event loop stood in the kernel's
queue, ready to run (schedstat's run delay). A server that blocks or burns is not excused by either.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from freight.drills.delivery import kernel

_TICK_SECONDS: Final = 0.05
_NOTICED_SECONDS: Final = 0.02


class Stalls:
    """Watches from `start` to `stop`; `within` tells of any span between."""

    def __init__(self, servers: Callable[[], Iterable[int]]) -> None:
        self._servers = servers
        self._own: list[tuple[float, float]] = []
        self._waits: dict[int, list[tuple[float, float]]] = {}
        self._last: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """This will begin to watch."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """This will end the watch."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def within(self, begin: float, end: float) -> float:
        """This will return the seconds of a span of the wall clock that the machine took from us and a server."""
        waits = [_sum(found, begin, end) for pid, found in self._waits.items() if pid != os.getpid()]
        return _sum(self._own, begin, end) + max(waits, default=0.0)

    async def _watch(self) -> None:
        while True:
            began = time.time()
            await asyncio.sleep(_TICK_SECONDS)
            now = time.time()
            over = now - began - _TICK_SECONDS
            if over > _NOTICED_SECONDS:
                self._own.append((now, over))
            for pid in self._servers():
                waited = kernel.waited_seconds(pid)
                more = waited - self._last.get(pid, waited)
                self._last[pid] = waited
                if more > 0:
                    self._waits.setdefault(pid, []).append((now, more))


def _sum(found: list[tuple[float, float]], begin: float, end: float) -> float:
    return sum(seconds for at, seconds in found if begin < at and at - seconds - _TICK_SECONDS < end)
