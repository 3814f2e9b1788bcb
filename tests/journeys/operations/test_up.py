"""One command from an empty folder to a product that answers, and back to nothing."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from freight import embedded
from freight.supervisor.roles import is_ready
from tests.drills.harness import home_processes

pytestmark = pytest.mark.journey

CHECKOUT = Path(__file__).resolve().parents[3]
REMOVED_VARIABLES = {
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "DEMO",
    "FREIGHT_HOME",
    "PORT",
    "DJANGO_SETTINGS_MODULE",
    "METRICS_DIR",
}


class UpProcess:
    """`manage.py up` in a home on a port of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home, self.overrides = home, environment
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.starts = 0

    @property
    def output(self) -> Path:
        """What the last start says: a file of its own, for a killed one may leave half a character behind."""
        return self.home.parent / f"output-{self.starts}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RATE_LIMIT_")}
        environment = {name: value for name, value in inherited.items() if name not in REMOVED_VARIABLES}
        environment |= {
            "PORT": str(self.port),
            "FREIGHT_HOME": str(self.home),
            "WS_PROCESSES": "1",
        } | self.overrides
        self.starts += 1
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=CHECKOUT, env=environment, stdout=output, stderr=output
            )

    def start_and_wait(self) -> subprocess.Popen[bytes]:
        """The command, once the port answers."""
        process = self.launch()
        assert home_processes.comes_true(60, lambda: process.poll() is not None or self.is_ready()), (
            self.output.read_text()
        )
        assert process.poll() is None, self.output.read_text()
        return process

    def is_ready(self) -> bool:
        return is_ready(("127.0.0.1", self.port))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> UpProcess:
    folder = tmp_path_factory.mktemp("up")
    (folder / "tmp").mkdir()
    return UpProcess(folder / "home", TMPDIR=str(folder / "tmp"))


@pytest.fixture
def running(up: UpProcess) -> Iterator[subprocess.Popen[bytes]]:
    """Everything, ready; killed afterwards if the test has not ended it."""
    process = up.start_and_wait()
    yield process
    process.kill()
    process.wait()
    assert home_processes.comes_true(5, lambda: not home_processes.running_in(up.home))


def test_the_port_answers_when_everything_is_ready(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    ready = httpx.get(f"{up.url}/api/health/ready").json()
    style = httpx.get(f"{up.url}/static/admin/css/base.css")
    assert home_processes.comes_true(2, lambda: "Freight is ready" in up.output.read_text())
    printed = up.output.read_text()

    assert ready == {"ready": True, "status": "ready", "degraded": []}
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    for line in (f"{up.url}/", f"ws://127.0.0.1:{up.port}/ws/", "dispatcher@demo.test", "freight-demo"):
        assert line in printed
    for name in ("api-1", "ws-1", "nginx", "postgres", "valkey"):
        assert (up.home / "logs" / f"{name}.log").exists()


def test_a_second_up_says_where_the_first_runs_and_touches_nothing(
    up: UpProcess, running: subprocess.Popen[bytes]
) -> None:
    before = {process.pid for process in home_processes.running_in(up.home)}
    second = up.launch()
    status = second.wait(20)

    assert status == 0
    last = up.output.read_text().splitlines()[-1]
    assert last == f"Freight runs already at {up.url}/ (process {running.pid}); nothing was changed."
    assert before <= {process.pid for process in home_processes.running_in(up.home)}
    assert up.is_ready()


def test_whatever_is_killed_comes_back(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    assert home_processes.comes_true(5, lambda: "Freight is ready" in up.output.read_text())
    for process in psutil.Process(running.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it went with the one before
            process.kill()
    assert home_processes.comes_true(5, lambda: not up.is_ready())

    assert home_processes.comes_true(30, up.is_ready)
    assert re.search(r"api-1 ended \(status -9\), again in 0.5 s", up.output.read_text())


def test_repeated_sigterm_ends_everything_in_order(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    temporary = Path(up.overrides["TMPDIR"])
    _download_label(up)
    assert list(temporary.glob("*/*"))  # a renderer's fonts

    began = time.monotonic()
    while running.poll() is None and time.monotonic() - began < 20:
        running.send_signal(signal.SIGTERM)
        time.sleep(0.2)

    assert running.poll() == 0
    assert time.monotonic() - began < 20
    assert home_processes.running_in(up.home) == []
    assert list(temporary.iterdir()) == []
    assert (up.home / "logs" / "postgres.log").read_text().rstrip().endswith("database system is shut down")


def test_ctrl_c_while_starting_ends_everything(up: UpProcess) -> None:
    process = up.launch()
    assert home_processes.comes_true(20, lambda: len(home_processes.running_in(up.home)) > 5)
    process.send_signal(signal.SIGINT)

    process.wait(20)
    assert home_processes.comes_true(5, lambda: not home_processes.running_in(up.home))


def test_sigkill_leaves_no_process_after_five_seconds(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    running.kill()
    running.wait()

    assert home_processes.comes_true(5, lambda: not home_processes.running_in(up.home))


def test_a_second_start_is_quick_and_keeps_the_data(up: UpProcess) -> None:
    first = up.start_and_wait()
    before = _count_shipments(up.home)
    first.terminate()
    first.wait(20)

    began = time.monotonic()
    second = up.start_and_wait()
    took = time.monotonic() - began
    after = _count_shipments(up.home)
    second.terminate()
    second.wait(20)

    assert after == before > 0
    # Seconds of a machine that does nothing else: others' work stretches them.
    assert took < 8 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def test_a_port_of_somebody_else_is_refused_before_anything_starts(up: UpProcess, tmp_path: Path) -> None:
    other = UpProcess(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", other.port))
        taken.listen()
        status = other.launch().wait(20)

    assert status == 1
    assert f"PORT={other.port} cannot be used (Address already in use): choose another" in other.output.read_text()
    assert not (other.home / "postgres").exists()


def test_the_lock_file_names_process_and_port(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    assert json.loads((up.home / "up.lock").read_text()) == {"process": running.pid, "port": up.port}


def _download_label(up: UpProcess) -> None:
    with httpx.Client(base_url=f"{up.url}/api", timeout=30) as http:
        credentials = {"email": "dispatcher@demo.test", "password": "freight-demo"}
        http.headers["Authorization"] = f"Bearer {http.post('/auth/login', json=credentials).json()['access']}"
        reference = http.get("/shipments", params={"limit": 1}).json()["results"][0]["reference"]
        assert http.get(f"/shipments/{reference}/documents/label.pdf").content.startswith(b"%PDF")


def _count_shipments(home: Path) -> int:
    with psycopg.connect(embedded.endpoints(home).database_url) as connection:
        row = connection.execute("SELECT count(*) FROM shipments_shipment WHERE reference LIKE 'SHIP-%'").fetchone()
    assert row
    return int(row[0])
