"""Faults of the machine: memory above the budget, busy processors, a full disk, a folder that is not shared."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg

from tests.drills.alerts.background_traffic import BackgroundTraffic
from tests.drills.harness.environment import ROOT
from tests.drills.harness.product_stage import ProductStage

# More than 90 % of MEMORY_BUDGET_MB (512), and more than 512 MB.
_MEMORY_PROGRAM: Final = "held = b'x' * (600 << 20); time.sleep(600)"
_CPU_PROGRAM: Final = "while True: pass"
_DISK_BYTES: Final = 16 * 1024**2
_FILL_RATIO: Final = 0.95
_EXPORT_OF_ANOTHER_HOST: Final = """
INSERT INTO exports_export (
    id, organization_id, owner_id, request_id, state, done, attempt, error, created_at, finished_at, expires_at,
    report, format, filters, file, sha256
) VALUES (
    gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '', 'succeeded', 0, 1, '', now(),
    now() - interval '5 minutes', now() + interval '1 day', 'shipments', 'csv', '{}', 'another-host.csv', ''
)
"""


@asynccontextmanager
async def memory_eaten(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Have a process of this host hold more memory than its budget."""
    with _host_processes(stage, _MEMORY_PROGRAM, 1):
        yield


@asynccontextmanager
async def processors_busy(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Have processes of this host leave no processor idle."""
    with _host_processes(stage, _CPU_PROGRAM, os.cpu_count() or 1):
        yield


@contextlib.contextmanager
def _host_processes(stage: ProductStage, work: str, number: int) -> Iterator[None]:
    """Run a program in processes that report their metrics as those of the product do."""
    code = (
        "import sys, threading, time\nfrom pathlib import Path\n"
        "from monitoring.prometheus import multiprocess, registrations\n"
        "def beat():\n  while True: registrations.record_heartbeat(time.time()); time.sleep(1)\n"
        "multiprocess.install(Path(sys.argv[1])); registrations.register('guest')\n"
        f"threading.Thread(target=beat, daemon=True).start()\n{work}"
    )
    command = [sys.executable, "-c", code, stage.environment["METRICS_DIR"]]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@asynccontextmanager
async def disk_full(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Mount a small file system at the product's home (as root), and fill it up."""
    home = Path(stage.environment["FREIGHT_HOME"])
    await _run_command("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "freight-drill", str(home))
    try:
        (home / "ballast").write_bytes(b"x" * int(_DISK_BYTES * _FILL_RATIO))
        yield
    finally:
        await _run_command("umount", str(home))


@asynccontextmanager
async def export_file_missing(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Store an export as finished five minutes ago, as another host does that shares no EXPORT_DIR."""
    async with await psycopg.AsyncConnection.connect(stage.database.url, autocommit=True) as connection:
        await connection.execute(_EXPORT_OF_ANOTHER_HOST)
    try:
        yield
    finally:
        async with await psycopg.AsyncConnection.connect(stage.database.url, autocommit=True) as connection:
            await connection.execute("DELETE FROM exports_export WHERE file = 'another-host.csv'")


def can_mount() -> bool:
    """Tell whether this process may mount a file system."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=4096", "freight-drill", folder]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


async def _run_command(*command: str) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
