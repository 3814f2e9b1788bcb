"""One process of the product: what it runs, how it is started, and how it is watched and stopped.

A role is plain data. A launcher makes a process of it: cold by `manage.py`, or forked from a server that has
loaded the product already.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from freight.supervisor import roles
from tests.drills.harness.environment import ROOT, free_port, starting_process
from tests.drills.harness.fork_server import ForkServer

# Twenty processes start at once, on whatever machine.
START_SECONDS: Final = 120.0
MANAGE: Final = (sys.executable, "manage.py")
# Longer than a drain lasts.
_STOP_SECONDS: Final = 20.0
_KILL_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Role:
    """What a process runs: a command of `manage.py` with its options, and where it answers.

    `address`: a port of this machine, a unix socket, or None for a worker. `environment` comes on top of the
    stage's and is for a SpawnLauncher only.
    """

    name: str
    command: str
    options: Mapping[str, Any] = field(default_factory=dict)
    address: int | Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def api(number: int = 1, *, port: int | None = None, unix: Path | None = None, **environment: str) -> Role:
    """Return the role of a Daphne that serves REST and pages, on a free port unless an address is given."""
    return _daphne("api", number, port, unix, environment)


def ws(number: int = 1, *, port: int | None = None, unix: Path | None = None, **environment: str) -> Role:
    """Return the role of a Daphne that serves sockets and streams."""
    return _daphne("ws", number, port, unix, environment)


def everything(number: int = 1, *, port: int | None = None, unix: Path | None = None, **environment: str) -> Role:
    """Return the role of a Daphne that serves all of it."""
    return _daphne("all", number, port, unix, environment)


def relay() -> Role:
    """Return the role of the relay."""
    return Role("relay", "relay")


def _daphne(kind: str, number: int, port: int | None, unix: Path | None, environment: dict[str, str]) -> Role:
    name = f"{kind}-{number}"
    if unix is not None:
        return Role(name, "serve", {"role": kind, "unix": str(unix)}, unix, environment)
    address = port or free_port()
    return Role(name, "serve", {"role": kind, "port": address}, address, environment)


class Handle(Protocol):
    """A started process, as `subprocess.Popen` describes one."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def send_signal(self, sig: int, /) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class Launcher(Protocol):
    """A way to start roles: `start`, launches, `close`. `kills_on_close`: whether `close` ends every process."""

    kills_on_close: bool

    def start(self) -> None: ...
    def launch(
        self, role: Role, *, log: Path, failpoint: str | None = None, database: tuple[str, int] | None = None
    ) -> Handle: ...
    def close(self) -> None: ...


class SpawnLauncher:
    """Starts each role cold, by a command of its own: some 3 s."""

    kills_on_close = False

    def __init__(self, environment: Mapping[str, str], *, command_prefix: Sequence[str] = MANAGE) -> None:
        self._environment, self._command_prefix = environment, command_prefix

    def start(self) -> None:
        """Do nothing: there is nothing to prepare."""

    def launch(
        self, role: Role, *, log: Path, failpoint: str | None = None, database: tuple[str, int] | None = None
    ) -> Handle:
        """Start the role's command. A failpoint or another database is for a ForkLauncher; raises TypeError."""
        if failpoint or database:
            raise TypeError("Only a forked process can be given a failpoint or another database.")
        arguments = [
            word for name, value in role.options.items() for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        with log.open("ab") as output:
            return subprocess.Popen(
                [*self._command_prefix, role.command, *arguments],
                cwd=ROOT,
                env=os.environ | dict(self._environment) | dict(role.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def close(self) -> None:
        """Do nothing: each process is stopped by itself."""


class ForkLauncher:
    """Forks each role from a server that has loaded the product: some 0.3 s."""

    kills_on_close = True

    def __init__(self, environment: Mapping[str, str], *, log: Path) -> None:
        self._environment, self._log = environment, log
        self._fork_server: ForkServer | None = None

    @property
    def fork_server(self) -> ForkServer:
        """The server; raises RuntimeError before `start`."""
        if self._fork_server is None:
            raise RuntimeError("The fork server has not been started.")
        return self._fork_server

    def start(self) -> None:
        """Start the server, which loads the product while the caller goes on."""
        self._fork_server = ForkServer(dict(self._environment), self._log)

    def launch(
        self, role: Role, *, log: Path, failpoint: str | None = None, database: tuple[str, int] | None = None
    ) -> Handle:
        """Fork a process; it dies at the failpoint, or uses the database at another host and port."""
        if role.environment:
            raise TypeError("A forked process has the environment of its server.")
        pid = self.fork_server.request(
            do="start", command=role.command, options=dict(role.options), log=str(log), failpoint=failpoint,
            database=database and list(database),
        )["pid"]  # fmt: skip
        return ForkedHandle(self.fork_server, int(pid))

    def close(self) -> None:
        """Kill the server and every process forked from it."""
        if self._fork_server is not None:
            self._fork_server.stop()


class ForkedHandle:
    """A child of the fork server."""

    def __init__(self, fork_server: ForkServer, pid: int) -> None:
        self.pid = pid
        self._fork_server = fork_server

    def poll(self) -> int | None:
        """Return the exit status, None while the process lives."""
        status: int | None = self._fork_server.request(do="status", pid=self.pid)["status"]
        return status

    def send_signal(self, signum: int) -> None:
        """Signal the process."""
        self._fork_server.request(do="signal", pid=self.pid, number=int(signum))

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0)
            time.sleep(_POLL_SECONDS)
        return status


class ProductProcess:
    """One role, started, signalled and stopped at will. A process that is started again appends to its log."""

    def __init__(self, role: Role, launcher: Launcher, *, log: Path) -> None:
        self.role, self.log = role, log
        self._launcher = launcher
        self._handle: Handle | None = None

    @property
    def handle(self) -> Handle:
        """The process itself; raises RuntimeError before it was launched."""
        if self._handle is None:
            raise RuntimeError(f"{self.role.name} has not been launched.")
        return self._handle

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.handle.pid

    @property
    def port(self) -> int:
        """The port at which the role answers; raises ValueError where it has none."""
        match self.role.address:
            case int(port):
                return port
        raise ValueError(f"{self.role.name} has no port.")

    @property
    def socket(self) -> Path:
        """The unix socket at which the role answers; raises ValueError where it has none."""
        match self.role.address:
            case Path() as path:
                return path
        raise ValueError(f"{self.role.name} has no unix socket.")

    @property
    def url(self) -> str:
        """The URL of the port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The URL of the port's WebSocket endpoint."""
        return f"ws://127.0.0.1:{self.port}/ws/"

    # -- start and stop -----------------------------------------------------------------------------------

    def launch(self, *, failpoint: str | None = None, database: tuple[str, int] | None = None) -> None:
        """Start the process without waiting for it. Only from the main thread."""
        with starting_process():
            self._handle = self._launcher.launch(self.role, log=self.log, failpoint=failpoint, database=database)

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._handle is not None and self._handle.poll() is None

    def is_ready(self) -> bool:
        """Tell whether the role answers the readiness check with 200; a worker is ready while it lives."""
        address = self.role.address
        if address is None:
            return self.is_alive()
        return roles.is_ready(str(address) if isinstance(address, Path) else ("127.0.0.1", address))

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until the role is ready; raises RuntimeError with the log's end, at once when the process ends."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            self._check_starting(deadline)
            time.sleep(_POLL_SECONDS)

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until the role is ready, without blocking the event loop; raises RuntimeError."""
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(self.is_ready):
            self._check_starting(deadline)
            await asyncio.sleep(_POLL_SECONDS)

    def _check_starting(self, deadline: float) -> None:
        if time.monotonic() > deadline or not self.is_alive():
            raise RuntimeError(f"{self.role.name} did not get ready:\n{self.log_tail(30)}")

    def signal(self, signum: signal.Signals) -> None:
        """Signal the process."""
        self.handle.send_signal(signum)

    def stop(self, seconds: float = _STOP_SECONDS) -> int | None:
        """End the process by SIGTERM, and by SIGKILL where that takes too long; return the exit status.

        None where it was never launched.
        """
        if self._handle is None:
            return None
        if self._handle.poll() is None:
            self._handle.send_signal(signal.SIGTERM)
        try:
            return self._handle.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._handle.wait(_KILL_SECONDS)

    def kill(self) -> None:
        """End the process by SIGKILL and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.handle.wait(_KILL_SECONDS)

    async def gone(self, seconds: float = 30) -> None:
        """Wait until the process has ended; raises RuntimeError."""
        deadline = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.role.name} did not end:\n{self.log_tail(30)}")
            await asyncio.sleep(_POLL_SECONDS)

    async def kill_and_restart(self) -> None:
        """Kill the process, start it again and wait until it is ready."""
        self.signal(signal.SIGKILL)
        await self.gone()
        self.launch()
        await self.ready()

    # -- its log ------------------------------------------------------------------------------------------

    def log_text(self) -> str:
        """Return the log; empty where the process was stopped before it opened it."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 12) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log_text().splitlines()[-lines:])
