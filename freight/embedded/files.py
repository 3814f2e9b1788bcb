"""Lock files and log rotation, for the embedded services and for `freight.supervisor`."""

import fcntl
import json
from pathlib import Path
from typing import IO, Any

_MAX_LOG_BYTES = 20 * 1024 * 1024
# Older ones beside the log that is written.
_KEPT_LOGS = 3
_CHUNK_BYTES = 1024 * 1024


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
    """Move the content of a large log to `<name>.1`, and that of older ones a number up; the oldest is dropped.

    The log is copied and emptied, since other processes write to it meanwhile (in append mode): what one of them
    writes between the last copied byte and the emptying, microseconds later, is lost. Does nothing on a full disk.
    """
    try:
        if log.stat().st_size <= _MAX_LOG_BYTES:
            return
        for number in range(_KEPT_LOGS - 1, 0, -1):
            older = _numbered(log, number)
            if older.exists():
                older.replace(_numbered(log, number + 1))
        with log.open("r+b") as source, _numbered(log, 1).open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
            source.truncate(0)
    except FileNotFoundError:
        return
    except OSError:
        _numbered(log, 1).unlink(missing_ok=True)


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
