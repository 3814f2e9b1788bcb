"""The stage: a private PostgreSQL, Valkey, Daphnes, relay and nginx, every one a process that may be killed."""

import asyncio
import contextlib
import json
import resource
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any, Final

from freight.drills.delivery import kernel
from freight.drills.delivery.nursery import ROOT, Nursery
from freight.drills.delivery.services import Database, Hints
from freight.embedded import layout as layouts
from freight.embedded.processes import spawn
from freight.supervisor import proxy
from freight.supervisor.roles import is_ready

# Twenty processes start at once, on whatever machine.
_START_SECONDS: Final = 120.0
_UNLIMITED: Final = "10000000"
# The most sessions of a process with PostgreSQL.
POOL: Final = 10
APIS, SOCKETS = ("api-1", "api-2"), ("ws-1", "ws-2")


@dataclass
class Role:
    """One process of the product: a Daphne, which answers at a unix socket, or a relay, which does not."""

    name: str
    command: str
    options: dict[str, Any]
    socket: Path | None = None
    pid: int = 0


class Stage:
    """Everything that a row plays on. Starts and stops from the main thread only."""

    def __init__(self, home: Path) -> None:
        self.layout = layouts.at(home)
        self.layout.make_folders()
        # The product's own home, which holds nothing here: it may lie on another disk.
        self.disk = home / "disk"
        self.disk.mkdir()
        self.database = Database(self.layout)
        self.hints = Hints(self.layout)
        self.nursery: Nursery | None = None
        self.roles: dict[str, Role] = {}
        self.port = _free_port()
        self.organization = ""
        self.keys: list[str] = []
        self.administrator: dict[str, str] = {}
        self.warm: set[int] = set()
        self._nginx: Popen[bytes] | None = None
        self._server("api", *APIS)
        self._server("ws", *SOCKETS)
        self.roles["relay"] = Role("relay", "relay", {})

    # -- start and stop -----------------------------------------------------------------------------------

    def start(self) -> None:
        """This will start all of it, and return when the public port answers."""
        began = time.monotonic()
        self.database.launch()
        self.hints.launch()
        self.nursery = Nursery(self._environment(), self.layout.logs / "nursery.log")
        self.database.wait_ready()
        self.hints.wait_ready()
        self._prepare()
        for name in self.roles:
            self.launch(name)
        self._start_nginx()
        _until(lambda: all(self.is_ready(name) for name in self.roles), began + _START_SECONDS, self.tails)
        _until(lambda: is_ready(("127.0.0.1", self.port)), began + _START_SECONDS, self.tails)

    def stop(self) -> None:
        """This will end every process of the stage, whatever state it is in."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.database.stop)
            stack.callback(self.hints.stop)
            if self.nursery is not None:
                stack.callback(self.nursery.stop)
            stack.callback(self._stop_nginx)

    def _environment(self) -> dict[str, str]:
        given = self.layout.endpoints
        return {
            "FREIGHT_HOME": str(self.disk), "METRICS_DIR": str(self.layout.home / "metrics"),
            "DATABASE_URL": given.database_url, "REDIS_URL": given.redis_url,
            "SECRET_KEY": secrets.token_urlsafe(48), "DJANGO_SETTINGS_MODULE": "freight.settings",
            "DEMO": "0", "DEBUG": "0", "HTTPS": "0", "LOG_LEVEL": "INFO", "PORT": str(self.port),
            "DATABASE_POOL_SIZE": str(POOL), "RATE_LIMIT_WHITELIST": "",
            # A drill asks more than any client; the limits' way through Redis stays in use.
            "RATE_LIMIT_GENERAL_MAX": _UNLIMITED, "RATE_LIMIT_WS_CONNECT_MAX": _UNLIMITED,
            "RATE_LIMIT_SOCKETS_PER_USER": _UNLIMITED, "RATE_LIMIT_SOCKETS_PER_ADDRESS": _UNLIMITED,
        }  # fmt: skip

    def _server(self, kind: str, *names: str) -> None:
        for name in names:
            path = self.layout.sockets / f"{name}.sock"
            self.roles[name] = Role(name, "serve", {"role": kind, "unix": str(path)}, path)

    def _prepare(self) -> None:
        told = self.layout.home / "world.json"
        pid = self._ask("start", command="prepare", options={"into": str(told)}, log=self._log("prepare"))["pid"]
        _until(lambda: self._ask("status", pid=pid)["status"] is not None, time.monotonic() + 120, self.tails)
        if not told.exists():
            raise RuntimeError(f"The stage was not prepared:\n{self.tails()}")
        world = json.loads(told.read_text())
        self.organization, self.keys = world["organization"], world["keys"]
        self.administrator = world["administrator"]

    def _start_nginx(self) -> None:
        run = self.layout.home / "nginx"
        layouts.private_folder(run)
        static = self.layout.home / "static"
        static.mkdir()
        sockets = {name: role.socket for name, role in self.roles.items() if role.socket}
        (run / "nginx.conf").write_text(
            proxy.render(
                (ROOT / "deploy" / "nginx" / "freight.conf").read_text(),
                listen=f"127.0.0.1:{self.port}", run=run, static=static,
                api=[sockets[name] for name in APIS], ws=[sockets[name] for name in SOCKETS],
            )
        )  # fmt: skip
        command: list[str | Path] = [proxy.nginx_program(), "-p", run, "-c", run / "nginx.conf", "-g", "daemon off;"]
        self._nginx = spawn(command, log=Path(self._log("nginx")), cwd=run, when_orphaned=signal.SIGTERM)

    def _stop_nginx(self) -> None:
        if self._nginx is not None:
            self._nginx.terminate()
            try:
                self._nginx.wait(5)
            except TimeoutExpired:
                self._nginx.kill()
                self._nginx.wait()

    def freeze_proxy(self) -> None:
        """This will stop nginx: it takes connections and says nothing."""
        self.frozen(self._proxy_signalled(signal.SIGSTOP))

    def thaw_proxy(self) -> None:
        """This will let nginx go on."""
        self._proxy_signalled(signal.SIGCONT)
        self.thawed()

    def _proxy_signalled(self, sent: signal.Signals) -> list[int]:
        pids = [self._nginx.pid, *kernel.children(self._nginx.pid)] if self._nginx is not None else []
        kernel.send(sent, pids)
        return pids

    # -- one process --------------------------------------------------------------------------------------

    def launch(self, name: str, *, failpoint: str | None = None, database: tuple[str, int] | None = None) -> int:
        """This will start a role and return its process, without waiting for it to be ready."""
        role = self.roles[name]
        role.pid = self._ask(
            "start", command=role.command, options=role.options, log=self._log(name), failpoint=failpoint,
            database=database and list(database),
        )["pid"]  # fmt: skip
        return role.pid

    def spare(self, name: str) -> Path:
        """This will declare one more api Daphne, which nginx does not know, and return its unix socket."""
        path = self.layout.sockets / f"{name}.sock"
        self.roles.setdefault(name, Role(name, "serve", {"role": "api", "unix": str(path)}, path))
        return path

    def signal(self, name: str, sent: signal.Signals) -> None:
        """This will signal a role's process."""
        self._ask("signal", pid=self.roles[name].pid, number=int(sent))

    def lives(self, name: str) -> bool:
        """This will tell whether a role's process lives."""
        return bool(self.roles[name].pid) and self._ask("status", pid=self.roles[name].pid)["status"] is None

    def is_ready(self, name: str) -> bool:
        """This will tell whether a role answers the readiness check with 200; a relay is ready while it lives."""
        role = self.roles[name]
        return is_ready(str(role.socket)) if role.socket else self.lives(name)

    async def ready(self, name: str, seconds: float = _START_SECONDS) -> None:
        """This will wait until a role is ready."""
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(self.is_ready, name):
            if time.monotonic() > deadline or not self.lives(name):
                raise RuntimeError(f"{name} did not get ready:\n{self.tails()}")
            await asyncio.sleep(0.05)

    async def gone(self, name: str, seconds: float = 30) -> None:
        """This will wait until a role's process has ended."""
        deadline = time.monotonic() + seconds
        while self.lives(name):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not end:\n{self.tails()}")
            await asyncio.sleep(0.02)

    async def restart(self, name: str) -> None:
        """This will kill a role at once, start it again and wait until it is ready."""
        self.signal(name, signal.SIGKILL)
        await self.gone(name)
        self.launch(name)
        await self.ready(name)

    def frozen(self, pids: list[int]) -> None:
        """This will have the nursery thaw these processes if we die before `thawed`."""
        self._ask("froze", pids=pids)

    def thawed(self) -> None:
        """This will tell the nursery that nothing is frozen any more."""
        self._ask("thawed")

    def tails(self) -> str:
        """This will return the last lines of every log."""
        told = []
        for log in sorted(self.layout.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-12:]
            told += [f"== {log.name}", *lines]
        return "\n".join(told)

    def _log(self, name: str) -> str:
        return str(self.layout.logs / f"{name}.log")

    def _ask(self, do: str, **question: Any) -> dict[str, Any]:
        if self.nursery is None:
            raise RuntimeError("The stage has not been started.")
        return self.nursery.ask(do=do, **question)


@contextlib.contextmanager
def raised() -> Iterator[Stage]:
    """This will have a stage for the length of a `with` block, in a temporary folder that goes with it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    home = Path(tempfile.mkdtemp(prefix="freight-drill-"))
    stage = Stage(home)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(home, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(done: Callable[[], bool], deadline: float, tails: Callable[[], str]) -> None:
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"The stage did not get ready:\n{tails()}")
        time.sleep(0.05)
