"""Where a renderer lays its fonts: a folder that goes with it, however it or who started it goes."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

_PREFIX: Final = "freight-renderer-"
# Who has made a folder locks it a moment later.
_YOUNG_SECONDS: Final = 60.0


class Folder:
    """A folder of this process: a lock on it says that the process lives, whatever ended it takes the lock away."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        self._held = _opened(Path(self.path))
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def remove(self) -> None:
        """This will remove it with what is in it; once more does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)


def remove_left() -> None:
    """This will remove the folders of processes that were killed before they could do it."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            held = _opened(path)
        except OSError:  # another was quicker, or it is somebody else's
            continue
        try:
            if _left(held):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(held)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _left(held: int) -> bool:
    found = os.fstat(held)
    if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG_SECONDS:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
