"""A full disk ends no process: what finds no room for its metrics counts in memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import small_disk as small_disks
from tests.monitoring.prometheus.counting_process import ROOT

# Declares metrics while there is room, fills the disk, and counts in a forked child, into files of its own.
PROGRAM = """
import os, sys
from pathlib import Path
from monitoring.prometheus import multiprocess, registrations
folder = Path(sys.argv[1])
multiprocess.install(folder)
from prometheus_client import Counter, Gauge
counter = Counter("things_total", "Things.", ["kind"])
gauge = Gauge("size", "Size.", ["kind"], multiprocess_mode="livemax")
counter.labels("a").inc()
with (folder / "ballast").open("wb", buffering=0) as ballast:
    try:
        while ballast.write(b"x" * 4096):
            pass
    except OSError:
        pass
for number in range(5000):  # more than the room that was reserved
    counter.labels(f"{number}-{'x' * 100}").inc()
child = os.fork()
if not child:
    registrations.register("api", "api-1")
    for number in range(2000):
        counter.labels(f"{number}-{'x' * 100}").inc()
        gauge.labels(str(number)).set(number)
    registrations.record_heartbeat(1.0)
    print([each.name for each in registrations.living()], flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), counter.labels("a")._value.get())
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disks.mounted(tmp_path / "disk", "1m") as folder:
        yield folder


def test_a_forked_process_counts_on_a_full_disk(small_disk: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(small_disk)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout.splitlines()) == (0, ["['api-1']", "0 1.0"]), result.stderr
    assert "The disk is full: what would be counted in" in result.stderr


def test_a_forked_process_starts_though_the_folder_was_removed(tmp_path: Path) -> None:
    program = """
import os, shutil, sys
from pathlib import Path
from monitoring.prometheus import multiprocess, registrations
multiprocess.install(Path(sys.argv[1]), "host")
from prometheus_client import Counter
counter = Counter("things_total", "Things.", ["kind"])
shutil.rmtree(sys.argv[1])
child = os.fork()
if not child:
    counter.labels("a").inc()
    registrations.register("api", "api-1")
    print([each.name for each in registrations.living()], flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "metrics")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stdout.splitlines()) == (0, ["['api-1']", "0"]), result.stderr
