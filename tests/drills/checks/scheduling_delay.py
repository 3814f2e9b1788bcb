"""How long a loaded machine kept this process and the servers from running.

That time is subtracted from a measured latency: the time for which our own event loop did not turn, and for which
an event loop of the product, a thread that answers requests and a session of PostgreSQL stood in the kernel's run
queue (the run delay of schedstat). A server that blocks, computes or waits is not excused by it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tests.drills.harness import procfs

_TICK_SECONDS: Final = 0.1
_MIN_DELAY_SECONDS: Final = 0.02
_REFRESH_EVERY: Final = 10


class SchedulingDelay:
    """Samples from `start` to `stop`.

    Each group returns the ids of the processes or threads of one link in the chain from request to receipt.
    """

    def __init__(self, *groups: Callable[[], Iterable[int]]) -> None:
        self._groups = groups
        self._delays: list[tuple[float, float]] = []
        self._last: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._task = asyncio.create_task(self._sample())

    async def stop(self) -> None:
        """Stop sampling."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def seconds_between(self, begin: float, end: float) -> float:
        """Return the seconds of delay in a span of the wall clock."""
        return sum(seconds for at, seconds in self._delays if begin < at and at - seconds - _TICK_SECONDS < end)

    async def _sample(self) -> None:
        ticks, groups = 0, list[Sequence[int]]()
        while True:
            if ticks % _REFRESH_EVERY == 0:
                groups = [tuple(group()) for group in self._groups]
            ticks += 1
            began = time.time()
            await asyncio.sleep(_TICK_SECONDS)
            overrun = time.time() - began - _TICK_SECONDS
            delay = overrun if overrun > _MIN_DELAY_SECONDS else 0.0
            # The links wait one after the other; within a link the slowest counts.
            delay += sum(max((self._run_delay_since_last(pid) for pid in group), default=0.0) for group in groups)
            if delay:
                self._delays.append((time.time(), delay))

    def _run_delay_since_last(self, pid: int) -> float:
        total = procfs.run_delay_seconds(pid)
        before, self._last[pid] = self._last.get(pid, total), total
        return total - before
