"""The servers of the REST bench, one process each, on the same database."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from tests.drills.harness.environment import ROOT, free_port

HERE: Final = Path(__file__).parent


@dataclass
class Peer:
    """A server: its command and its port."""

    name: str
    command: Sequence[str]
    port: int
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        out = (self.folder / f"{self.name}.log").open("wb")
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=os.environ | self.environment, stdout=out, stderr=out
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/", timeout=1)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"{self.name} did not start: {(self.folder / f'{self.name}.log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End the server."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server has used so far."""
        assert self.process
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


def plan_peers(folder: Path, database: dict[str, Any], organization: str) -> list[Peer]:
    """Return the peers, none of which is started; npm installs the packages of two of them."""
    node = _install_node(folder)
    script, where = str(node / "express.mjs"), [database["HOST"], database["NAME"], database["USER"], organization]
    ports = [free_port() for _ in range(3)]
    plain_drf_command = [
        sys.executable,
        "-m",
        "daphne",
        "-p",
        str(ports[2]),
        "-v",
        "0",
        "tests.bench.rest.textbook:application",
    ]
    return [
        Peer("expressPrisma", ["node", script, str(ports[0]), "prisma", *where], ports[0], folder),
        Peer("expressPg", ["node", script, str(ports[1]), "pg", *where], ports[1], folder),
        Peer("plainDrf", plain_drf_command, ports[2], folder, {
            "BENCH_HOST": database["HOST"], "BENCH_DATABASE": database["NAME"], "BENCH_USER": database["USER"],
            "BENCH_ORGANIZATION": organization,
        }),
    ]  # fmt: skip


def _install_node(folder: Path) -> Path:
    node = folder / "node"
    node.mkdir()
    for name in ("package.json", "schema.prisma", "express.mjs"):
        shutil.copy(HERE / name, node / name)
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("The peers of this bench run on node: install nodejs and npm.")
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=node, check=True)
    # The generated client needs no engine; without this the generator would download one.
    generate = ["node_modules/.bin/prisma", "generate", "--schema", "schema.prisma"]
    engine = {"PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true", "DATABASE_URL": "postgresql://unused"}
    subprocess.run(generate, cwd=node, check=True, env=os.environ | engine, stdout=subprocess.DEVNULL)
    return node
