"""The directory of finished exports. A file is written under a temporary name, synced, then renamed."""

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

_PART_SUFFIX: Final = ".part"
_BLOCK_BYTES: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
# A younger file may belong to an attempt that is still being written or stored.
_ORPHAN_AGE_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A finished file: its name in the store, size in bytes and hash."""

    name: str
    size: int
    sha256: str


class RangeNotSatisfiable(Exception):
    """The range begins after the end of the file."""


def directory() -> Path:
    """Return `EXPORT_DIR`, created with mode 0700 where it is missing."""
    path: Path = settings.EXPORT_DIR
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def path_of(name: str) -> Path:
    """Return the path of a file by its name."""
    return directory() / name


def write(name: str, blocks: Iterable[bytes]) -> StoredFile:
    """Write a file atomically and durably; on an error nothing exists under its name. Raises OSError."""
    target = path_of(name)
    part = target.with_name(target.name + _PART_SUFFIX)
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as file:
            for block in blocks:
                file.write(block)
                digest.update(block)
                size += len(block)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _fsync_directory(target.parent)
    return StoredFile(name, size, digest.hexdigest())


def remove(name: str) -> None:
    """Remove a file; a missing one is no error."""
    if name:
        with suppress(OSError):
            path_of(name).unlink()


def remove_orphans(live_names: Collection[str]) -> int:
    """Remove old files outside `live_names`, left by killed attempts, and return how many."""
    removed = 0
    for path in directory().iterdir():
        with suppress(OSError):
            if path.name not in live_names and time.time() - path.stat().st_mtime > _ORPHAN_AGE_SECONDS:
                path.unlink()
                removed += 1
    return removed


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes `[start, end)` of a Range header (RFC 9110, 14.1.2), None for the whole file.

    Anything but a single range of bytes is ignored. Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable
    return start, end


async def read_range(path: Path, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Yield the bytes `[start, end)` of a file, each block read in a thread; raises EOFError for a short file."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(file.seek, start)
        while start < end:
            block = await asyncio.to_thread(file.read, min(_BLOCK_BYTES, end - start))
            if not block:
                raise EOFError(f"{path.name} is shorter than its stored size")
            start += len(block)
            yield block
    finally:
        file.close()


def _fsync_directory(path: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
