"""Faults of the machine: a process that eats memory, processors that have no time, a disk that fills up."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from freight.drills.alerts.load import Load
from freight.drills.delivery.nursery import ROOT
from freight.drills.delivery.stage import Stage

# More than 90 % of MEMORY_BUDGET_MB (512), and more than 512 MB.
_EATS: Final = "held = b'x' * (600 << 20); time.sleep(600)"
_BURNS: Final = "while True: pass"
_DISK_BYTES: Final = 16 * 1024**2
_FULL: Final = 0.95


@asynccontextmanager
async def memory_eaten(stage: Stage, _: Load) -> AsyncIterator[None]:
    """A process of this host holds more than its budget."""
    with _guests(stage, _EATS, 1):
        yield


@asynccontextmanager
async def processors_busy(stage: Stage, _: Load) -> AsyncIterator[None]:
    """Processes of this host leave no processor idle."""
    with _guests(stage, _BURNS, os.cpu_count() or 1):
        yield


@contextlib.contextmanager
def _guests(stage: Stage, work: str, number: int) -> Iterator[None]:
    """This will have processes of this host do some work: they are measured like all others."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom monitoring import shared\n"
        f"shared.install(Path(sys.argv[1])); shared.enter('guest')\n{work}"
    )
    command = [sys.executable, "-c", code, str(stage.layout.home / "metrics")]
    guests = [subprocess.Popen(command, cwd=ROOT) for _ in range(number)]
    try:
        yield
    finally:
        for guest in guests:
            guest.kill()
            guest.wait()


@asynccontextmanager
async def disk_full(stage: Stage, _: Load) -> AsyncIterator[None]:
    """The product's home lies on a disk that has no room left; a small one, which root may attach there."""
    await _system("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "freight-drill", str(stage.disk))
    try:
        (stage.disk / "ballast").write_bytes(b"x" * int(_DISK_BYTES * _FULL))
        yield
    finally:
        await _system("umount", str(stage.disk))


def may_attach_disks() -> bool:
    """This will tell whether this process may attach a disk."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=4096", "freight-drill", folder]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


async def _system(*command: str) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
