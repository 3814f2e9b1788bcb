"""Lock files and log rotation, for the embedded services and for `freight.supervisor`."""

import fcntl
import json
from pathlib import Path
from typing import IO, Any

_MAX_LOG_BYTES = 20 * 1024 * 1024


def lock_file(path: Path, **holder: object) -> IO[str]:
    """Lock a file and write its holder into it as JSON. The lock lasts as long as the file stays open.

    Raises BlockingIOError where another process holds it, OSError where the file cannot be opened.
    """
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    lock.truncate(0)
    lock.write(json.dumps(holder))
    lock.flush()
    return lock


def lock_holder(path: Path) -> dict[str, Any]:
    """Return what the holder of a lock wrote into it; empty where it cannot be read."""
    try:
        holder: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return holder


def rotate_log(log: Path) -> None:
    """Rename a large log to `<name>.1`. Call it before the log is opened."""
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
