"""Work that comes in crowds, done a few at a time."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

MOST: Final = 10


class Few:
    """Does what it is given soon and in order, at most ten in a turn of the event loop.

    A hundred sockets that are cut in one moment would hold up everybody else for a tenth of a second.
    """

    def __init__(self) -> None:
        self._due: deque[Callable[[], object]] = deque()
        self._called = False

    def add(self, work: Callable[[], object]) -> None:
        """This will do the work in its turn."""
        self._due.append(work)
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._do)

    def _do(self) -> None:
        try:
            for _ in range(min(len(self._due), MOST)):
                self._due.popleft()()
        finally:
            self._called = bool(self._due)
            if self._called:
                asyncio.get_running_loop().call_soon(self._do)
