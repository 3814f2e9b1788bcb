"""How many bytes of a connection have not left the process, or have not reached the client."""

import fcntl
import struct
import termios
from typing import Any, Final

# Backpressure: a stream's producer waits while more than this is buffered.
PAUSE_BYTES: Final = 256 * 1024


def buffered_bytes(transport: Any) -> int:
    """Return how many bytes a Twisted transport buffers in the process."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)  # noqa: SLF001  see __init__


def unacknowledged_bytes(transport: Any) -> int:
    """Return how many bytes the client has not acknowledged: those buffered and those in the kernel's send queue.

    A very slow reader makes progress only in the kernel's queue: the process's own buffer stays the same for long.
    """
    try:
        queued = struct.unpack("i", fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    except OSError:
        queued = 0
    return buffered_bytes(transport) + int(queued)
