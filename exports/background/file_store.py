"""Where finished exports lie: written under a passing name, made lasting, then named. None is ever half a file."""

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
# Younger ones may be of an attempt that is just being written or stored.
_ORPHANED_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A finished file."""

    name: str
    size: int
    sha256: str


class RangeNotSatisfiable(Exception):
    """The range lies behind the end."""


def folder() -> Path:
    """Return the folder, made where it is missing; nobody else may look into it."""
    path: Path = settings.EXPORT_DIR
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def path_of(name: str) -> Path:
    """Return where a file lies."""
    return folder() / name


def write(name: str, blocks: Iterable[bytes]) -> StoredFile:
    """Write a file whole and lasting, or leave nothing under its name."""
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
    """Take a file away; one that is gone is no error."""
    if name:
        with suppress(OSError):
            path_of(name).unlink()


def remove_orphans(live_names: Collection[str]) -> int:
    """Remove old files that nobody knows: those of attempts that were killed. Returns how many."""
    removed = 0
    for path in folder().iterdir():
        with suppress(OSError):
            if path.name not in live_names and time.time() - path.stat().st_mtime > _ORPHANED_SECONDS:
                path.unlink()
                removed += 1
    return removed


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes `[start, end)` that a Range header asks for, None for the whole file.

    What is no single range of bytes is ignored, as RFC 9110 has it. Raises Unsatisfiable.
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
    """Yield the bytes `[start, end)` of a file, each block read in a thread."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(file.seek, start)
        while start < end:
            block = await asyncio.to_thread(file.read, min(_BLOCK_BYTES, end - start))
            if not block:
                raise EOFError(f"{path.name} has become shorter")
            start += len(block)
            yield block
    finally:
        file.close()


def _fsync_directory(path: Path) -> None:
    """Make the names of a folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
