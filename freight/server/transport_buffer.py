"""How much waits in a transport, and which transports stand still."""

import asyncio
import fcntl
import struct
import termios
from typing import Any, Final

# A stream's producer waits from here on.
PAUSE_BYTES: Final = 256 * 1024
STALLED_SECONDS: Final = 60.0
_POLLS_PER_STALL: Final = 12


def buffered_bytes(transport: Any) -> int:
    """Return the bytes that the process keeps for a Twisted transport."""
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # type: ignore[no-any-return]


def unacknowledged_bytes(transport: Any) -> int:
    """Return the bytes that the other side has not taken yet, with those in the kernel.

    A reader may take so little at a time that the process has long nothing new to give to the kernel.
    """
    try:
        queued = struct.unpack("i", fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    except OSError:
        queued = 0
    return buffered_bytes(transport) + int(queued)


class StalledConnections:
    """Cuts transports from which nothing is taken for a minute; it looks only while there are any to watch."""

    def __init__(self, seconds: float = STALLED_SECONDS) -> None:
        self._seconds = seconds
        self._watched: dict[Any, tuple[int, float]] = {}

    def watch(self, transport: Any) -> None:
        """Look after a transport until nothing waits in it any more."""
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
