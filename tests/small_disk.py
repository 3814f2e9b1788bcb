"""A file system of its own that a test may fill; only root may mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.drills.alerts import machine_faults


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system at the folder, of a size such as `1m`; skip the test where that is not allowed."""
    if not machine_faults.can_mount():
        pytest.skip("only root may mount a disk that can be filled")
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "freight-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    """Fill the file system, but for so many bytes in whole pages, and return the file that takes the room."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - leave))
    return ballast
