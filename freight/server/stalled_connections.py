"""Which connections make no progress: the clients of streams that have stopped reading."""

import asyncio
from typing import Any, Final

from freight.server.transport_buffer import buffered_bytes, unacknowledged_bytes

STALLED_SECONDS: Final = 60.0
_POLLS_PER_STALL: Final = 12


class StalledConnections:
    """Aborts transports whose client acknowledges nothing for a minute; polls only while it watches any."""

    def __init__(self, seconds: float = STALLED_SECONDS) -> None:
        self._seconds = seconds
        self._watched: dict[Any, tuple[int, float]] = {}

    def watch(self, transport: Any) -> None:
        """Watch a transport until its buffer is empty. The caller runs on the event loop."""
        if not self._watched:
            self._schedule_check()
        self._watched.setdefault(transport, (unacknowledged_bytes(transport), asyncio.get_running_loop().time()))

    def _schedule_check(self) -> None:
        asyncio.get_running_loop().call_later(self._seconds / _POLLS_PER_STALL, self._check)

    def _check(self) -> None:
        now = asyncio.get_running_loop().time()
        for transport, (before, since) in tuple(self._watched.items()):
            if transport.disconnected or not buffered_bytes(transport):
                del self._watched[transport]
                continue
            remaining = unacknowledged_bytes(transport)
            if remaining != before:
                self._watched[transport] = (remaining, now)
            elif now - since >= self._seconds:
                del self._watched[transport]
                transport.abortConnection()
        if self._watched:
            self._schedule_check()
