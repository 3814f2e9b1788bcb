"""A rolling restart: every process behind nginx is restarted, and no client gets an error."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets

from tests.drills.harness.environment import ROOT, free_port
from tests.drills.harness.nginx import Nginx
from tests.drills.harness.waiting import comes_true

pytestmark = pytest.mark.journey

ROLES = ("api-1", "ws-1", "ws-2")


class Deployment:
    """One api and two ws processes on unix sockets behind nginx."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "tests.freight.server.asgi_applications", str(self.path(name)), "10", "60"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=log, stderr=log)

    def wait(self, name: str) -> None:
        assert comes_true(60, lambda: _answers(self.path(name))), (self.folder / f"{name}.log").read_text()

    def restart(self, name: str) -> int:
        """Stop the process and start another on the same socket; returns the exit status of the first."""
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
        self.start(name)
        self.wait(name)
        return status


def _answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(b"GET /state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path)
    try:
        for name in ROLES:
            deployment.start(name)
        for name in ROLES:
            deployment.wait(name)
        api, ws = [deployment.path("api-1")], [deployment.path("ws-1"), deployment.path("ws-2")]
        with Nginx(tmp_path / "nginx", port=free_port(), static=tmp_path, api=api, ws=ws) as nginx:
            nginx.wait_listening("/", status=None, seconds=5)
            deployment.url = nginx.url
            yield deployment
    finally:
        for process in deployment.processes.values():
            process.kill()
            process.wait(10)


async def test_a_rolling_restart_shows_no_client_an_error(deployment: Deployment) -> None:
    over = asyncio.Event()
    answers: Counter[int | str] = Counter()
    closes: Counter[int] = Counter()

    async def requests(method: str) -> None:
        async with httpx.AsyncClient(base_url=deployment.url, timeout=30) as http:
            while not over.is_set():
                try:
                    answers[(await http.request(method, "/api/quick")).status_code] += 1
                except httpx.TransportError as error:
                    answers[repr(error)] += 1

    async def stays() -> None:
        while not over.is_set():
            async with websockets.connect(
                deployment.url.replace("http", "ws") + "/ws/", open_timeout=30
            ) as connection:
                try:
                    while not over.is_set():
                        await connection.send("here")
                        if (await connection.recv()) == "here":
                            await asyncio.sleep(0.05)
                except websockets.ConnectionClosed:
                    closes[connection.close_code or 0] += 1

    clients = [*(requests(method) for method in ("GET", "POST") * 4), *(stays() for _ in range(12))]
    running = asyncio.gather(*clients)
    statuses = [await asyncio.to_thread(deployment.restart, name) for name in ROLES]
    over.set()
    await running

    assert set(answers) == {200}
    assert set(closes) == {4503}
    assert statuses == [0, 0, 0]
