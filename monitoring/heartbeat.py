"""The heartbeat of this process: proof that its main loop turns, not only that it exists.

The event loop of a server, or the main thread of a worker, calls `beat` several times a second. A thread writes
the time of the last beat down for the other processes (`registrations`), and tells systemd's watchdog. A supervisor
that forked the process reads it from shared memory, which neither a full disk nor a step of the clock disturbs.
"""

import contextlib
import mmap
import os
import socket
import struct
import time
from typing import Final

_DOUBLE: Final = struct.Struct("d")
# A process whose main loop has not turned for this long hangs.
HUNG_SECONDS: Final = 4.0


class SharedHeartbeat:
    """The last beat of a forked child, in memory that parent and child share."""

    def __init__(self) -> None:
        """Map the memory. Call it before the fork."""
        self._memory = mmap.mmap(-1, _DOUBLE.size)

    def write(self, at: float) -> None:
        """Write the monotonic time of a beat; in the child."""
        self._memory[:] = _DOUBLE.pack(at)

    def age(self) -> float | None:
        """Return for how many seconds the child's loop has not turned; None before its first beat."""
        (at,) = _DOUBLE.unpack(self._memory[:])
        return time.monotonic() - at if at else None

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()


class Heartbeat:
    """The heartbeat of this process."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._shared: SharedHeartbeat | None = None

    def share(self, shared: SharedHeartbeat) -> None:
        """Show every beat to the parent, too; in a forked child."""
        self._at, self._shared = None, shared

    def beat(self) -> None:
        """Record that the main loop turns; it costs a microsecond and does not block."""
        self._at = time.monotonic()
        if self._shared is not None:
            self._shared.write(self._at)

    def age(self) -> float:
        """Return for how many seconds the main loop has not turned; 0 where it never began to beat."""
        return 0.0 if self._at is None else time.monotonic() - self._at


heartbeat: Final = Heartbeat()


def notify_watchdog() -> None:
    """Tell systemd (`WatchdogSec=`) that this process lives, unless its main loop does not turn."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or heartbeat.age() > HUNG_SECONDS:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect("\0" + address[1:] if address.startswith("@") else address)
        client.send(b"WATCHDOG=1")
