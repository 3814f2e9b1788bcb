"""The product as it runs: real Daphnes in their roles, in processes of their own, on the test database."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

import httpx
from django.conf import settings

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 90


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    """Return the URL of the test database, as a server process needs it."""
    database = settings.DATABASES["default"]
    host, port = quote(database["HOST"], safe=""), database["PORT"]
    return f"postgresql://{database['USER']}@/{database['NAME']}?host={host}" + (f"&port={port}" if port else "")


@dataclass
class DaphneProcess:
    """One `manage.py serve`."""

    role: str
    port: int
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _out: IO[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/"

    def start(self) -> None:
        self._out = self.log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--role", self.role, "--port", str(self.port)],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=self._out,
            stderr=self._out,
        )

    def wait_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/api/health/ready", timeout=1).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"{self.role} on {self.port} did not get ready:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        if self._out is not None:
            self._out.close()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)


@dataclass
class ProductDaphnes:
    """One `api` and two `ws` Daphnes."""

    api: DaphneProcess
    ws: list[DaphneProcess]

    @property
    def daphnes(self) -> list[DaphneProcess]:
        return [self.api, *self.ws]

    def start(self) -> None:
        for daphne in self.daphnes:
            daphne.start()
        for daphne in self.daphnes:
            daphne.wait_ready()

    def stop(self) -> None:
        for daphne in self.daphnes:
            daphne.stop()


def plan_product(folder: Path) -> ProductDaphnes:
    """Lay out a product whose logs go to the folder; nothing is started yet."""
    ports = [free_port() for _ in range(3)]
    environment = {
        "DATABASE_URL": database_url(),
        "DATABASE_POOL_SIZE": "6",
        "METRICS_DIR": str(folder / "metrics"),
        "HTTPS": "0",
        # Other tests fail to log in from this address too.
        "RATE_LIMIT_AUTH_MAX": "100000",
        "RATE_LIMIT_WS_CONNECT_MAX": "100000",
        "RATE_LIMIT_SOCKETS_PER_ADDRESS": "100000",
        # The pages of these tests come from the api Daphne itself.
        "WS_CORS_ORIGINS": f"http://127.0.0.1:{ports[0]}",
    }
    roles = ["api", "ws", "ws"]
    daphnes = [
        DaphneProcess(role, port, folder / f"{role}-{port}.log", environment)
        for role, port in zip(roles, ports, strict=True)
    ]
    return ProductDaphnes(daphnes[0], daphnes[1:])
