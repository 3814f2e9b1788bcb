"""`manage.py up` goes from an empty folder to a ready product, and back to no process."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from freight import embedded
from tests.drills.harness import procfs
from tests.drills.harness.backing_services import BackingServices
from tests.drills.harness.up import UpProcess
from tests.drills.harness.waiting import comes_true

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> UpProcess:
    folder = tmp_path_factory.mktemp("up")
    (folder / "tmp").mkdir()
    return UpProcess(folder / "home", TMPDIR=str(folder / "tmp"))


@pytest.fixture
def running(up: UpProcess) -> Iterator[subprocess.Popen[bytes]]:
    """Start everything and wait until it is ready; kill it afterwards if the test has not ended it."""
    process = up.start_and_wait()
    yield process
    process.kill()
    process.wait()
    assert comes_true(5, lambda: not procfs.running_in(up.home))


def test_the_port_answers_when_everything_is_ready(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    ready = httpx.get(f"{up.url}/api/health/ready").json()
    style = httpx.get(f"{up.url}/static/admin/css/base.css")
    assert comes_true(2, lambda: "Freight is ready" in up.output.read_text())
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
    before = {process.pid for process in procfs.running_in(up.home)}
    second = up.launch()
    status = second.wait(20)

    assert status == 0
    last = up.output.read_text().splitlines()[-1]
    assert last == f"Freight runs already at {up.url}/ (process {running.pid}); nothing was changed."
    assert before <= {process.pid for process in procfs.running_in(up.home)}
    assert up.is_ready()


def test_whatever_is_killed_comes_back(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    assert comes_true(5, lambda: "Freight is ready" in up.output.read_text())
    for process in psutil.Process(running.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended with its parent
            process.kill()
    assert comes_true(5, lambda: not up.is_ready())

    assert comes_true(30, up.is_ready)
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
    assert procfs.running_in(up.home) == []
    assert list(temporary.iterdir()) == []
    assert (up.home / "logs" / "postgres.log").read_text().rstrip().endswith("database system is shut down")


def test_ctrl_c_while_starting_ends_everything(up: UpProcess) -> None:
    process = up.launch()
    assert comes_true(20, lambda: len(procfs.running_in(up.home)) > 5)
    process.send_signal(signal.SIGINT)

    process.wait(20)
    assert comes_true(5, lambda: not procfs.running_in(up.home))


def test_sigkill_leaves_no_process_after_five_seconds(up: UpProcess, running: subprocess.Popen[bytes]) -> None:
    running.kill()
    running.wait()

    assert comes_true(5, lambda: not procfs.running_in(up.home))


@pytest.mark.quiet_machine
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
    # The bound is for an idle machine; load stretches it.
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


def test_an_empty_home_with_other_peoples_services_starts(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("external")
    backing = BackingServices(folder / "services")
    backing.launch()
    try:
        backing.wait_ready()
        up = UpProcess(
            folder / "home", DATABASE_URL=backing.endpoints.database_url, REDIS_URL=backing.endpoints.redis_url,
            SECRET_KEY="x" * 50, HTTPS="0",
        )  # fmt: skip
        process = up.start_and_wait()
        process.terminate()

        assert process.wait(20) == 0
        assert (up.home / "logs" / "relay-1.log").exists()
        assert not (up.home / "postgres").exists()
    finally:
        backing.stop()


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
