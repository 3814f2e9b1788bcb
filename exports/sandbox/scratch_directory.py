"""Temporary directories of renderers, removed even where renderer and owner were killed."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

_PREFIX: Final = "freight-renderer-"
# A directory is locked a moment after it is created; a younger one is left alone.
_GRACE_SECONDS: Final = 60.0


class ScratchDirectory:
    """A temporary directory locked by its owner; the kernel releases the lock when the owner ends."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        self._lock_fd = _open_directory(Path(self.path))
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the directory and its content. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock_fd, self._lock_fd = self._lock_fd, -1
        if lock_fd >= 0:
            os.close(lock_fd)


def remove_orphaned() -> None:
    """Remove the directories whose owner was killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock_fd = _open_directory(path)
        except OSError:  # removed by another process meanwhile, not a directory, or no permission
            continue
        try:
            if _is_orphaned(lock_fd):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock_fd)


def _open_directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_orphaned(lock_fd: int) -> bool:
    status = os.fstat(lock_fd)
    if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _GRACE_SECONDS:
        return False
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
