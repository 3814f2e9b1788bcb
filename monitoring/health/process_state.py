"""Whether this process is about to stop, and since when it runs."""

import threading
import time

_started_at = time.monotonic()
_draining = threading.Event()


def start_draining() -> None:
    """Make `ready` answer no from now on: the process is about to stop."""
    _draining.set()


def is_draining() -> bool:
    """Return whether the process is about to stop."""
    return _draining.is_set()


def cancel_draining() -> None:
    """Undo `start_draining`, for tests: a process that drains does stop."""
    _draining.clear()


def process_started_at() -> float:
    """Return when this process started, in seconds since 1970."""
    return time.time() - uptime()


def uptime() -> float:
    """Return for how many seconds this process has run."""
    return time.monotonic() - _started_at
