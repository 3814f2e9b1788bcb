"""Spread callbacks over iterations of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_PER_ITERATION: Final = 10


class LoopThrottle:
    """Run callbacks soon and in order, at most ten in one iteration of the event loop.

    Closing a hundred sockets, or reading from a hundred that flood, in one iteration would delay all other sockets
    by a tenth of a second.
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], object]] = deque()
        self._scheduled = False

    def add(self, callback: Callable[[], object]) -> None:
        """Schedule a callback behind those that are pending."""
        self._queue.append(callback)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run_some)

    def _run_some(self) -> None:
        try:
            for _ in range(min(len(self._queue), MAX_PER_ITERATION)):
                self._queue.popleft()()
        finally:
            self._scheduled = bool(self._queue)
            if self._scheduled:
                asyncio.get_running_loop().call_soon(self._run_some)
