"""Files of metrics whose room on the disk is reserved before it is written to.

prometheus_client maps sparse files into memory. On a full disk the first write to a page that has no block yet ends
the process by SIGBUS, and a process that is started again dies the same way. Here every byte of a mapping is
reserved; what finds no room is kept in memory and stands in no scrape: a number that only one of many processes
shows would jump with whichever answers.
"""

import errno
import mmap
import os
import sys
from pathlib import Path
from typing import Any, Final

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

# At once, so that a running process seldom needs more. By the kind that a file's name begins with.
_INITIAL_BYTES: Final = {"histogram": 512 * 1024, "counter": 128 * 1024}
_OTHER_BYTES: Final = 64 * 1024
# A key is followed by padding, its length and two doubles.
_ENTRY_BYTES: Final = 32
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_in_memory: Final[set[str]] = set()


def install() -> None:
    """Have prometheus_client keep its values in such files. Call it before any metric is declared."""
    # Linux has both; elsewhere files stay as they are.
    if hasattr(os, "posix_fallocate") and hasattr(os, "memfd_create"):
        values.MmapedDict = ReservedFile  # type: ignore[attr-defined]  # its MultiProcessValue takes it from there


class ReservedFile(MmapedDict):
    """A file of metrics, as prometheus_client lays it out; in memory where the disk has no room for it."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:  # noqa: FBT001, FBT002  the signature of the library
        if not read_mode:
            size = _INITIAL_BYTES.get(Path(filename).name.partition("_")[0], _OTHER_BYTES)
            filename = filename if _reserve_file(filename, size) else _memory_file(filename, size)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]  # the library is untyped

    def _init_value(self, key: str) -> None:
        """Add a key; grows the file by reserved room first."""
        while self._used + len(key.encode()) + _ENTRY_BYTES > self._capacity:
            self._grow()
        super()._init_value(key)  # type: ignore[no-untyped-call]  # the library is untyped

    def _grow(self) -> None:
        """Double the capacity."""
        capacity = 2 * self._capacity
        try:
            _reserve(self._f.fileno(), capacity)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            content = bytes(self._m[: self._used])
            self._f.close()
            self._f = Path(_memory_file(self._fname, capacity)).open("a+b")  # noqa: SIM115  closed by `close`
            self._m.close()
            self._m = mmap.mmap(self._f.fileno(), capacity)
            self._m[: len(content)] = content
        else:
            self._m.close()
            self._m = mmap.mmap(self._f.fileno(), capacity)
        self._capacity = capacity


def _reserve(descriptor: int, size: int) -> None:
    os.posix_fallocate(descriptor, 0, size)


def _reserve_file(filename: str, size: int) -> bool:
    """Return whether the disk has room for the file, which has its size then."""
    descriptor = -1
    try:
        Path(filename).parent.mkdir(parents=True, exist_ok=True)  # it may have been removed since the start
        descriptor = os.open(filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        _reserve(descriptor, max(size, os.fstat(descriptor).st_size))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        if descriptor >= 0:
            # A part may have been reserved.
            os.truncate(descriptor, 0)
        return False
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return True


def _memory_file(filename: str, size: int) -> str:
    """Return the path of a new file in memory, which lives as long as this process."""
    if filename not in _in_memory:
        _in_memory.add(filename)
        print(  # noqa: T201  a metric may be declared before any log is configured
            f"The disk is full: what would be counted in {filename} is in no scrape until this process restarts.",
            file=sys.stderr,
            flush=True,
        )
    descriptor: Any = os.memfd_create(Path(filename).name)
    _reserve(descriptor, size)
    return f"/proc/self/fd/{descriptor}"
