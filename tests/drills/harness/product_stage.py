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

from freight.embedded import layout as layouts
from freight.embedded.processes import spawn
from freight.supervisor import proxy
from freight.supervisor.roles import is_ready
from tests.drills.harness import procfs
from tests.drills.harness.backing_services import PostgresService, ValkeyService
from tests.drills.harness.fork_server import ROOT, ForkServer

# Twenty processes start at once, on whatever machine.
_START_SECONDS: Final = 120.0
_UNLIMITED: Final = "10000000"
# The most sessions of a process with PostgreSQL.
POOL_SIZE: Final = 10
API_ROLES, WS_ROLES = ("api-1", "api-2"), ("ws-1", "ws-2")


@dataclass
class Role:
    """One process of the product: a Daphne, which answers at a unix socket, or a relay, which does not."""

    name: str
    command: str
    options: dict[str, Any]
    socket: Path | None = None
    pid: int = 0


class ProductStage:
    """Everything that a row plays on. Starts and stops from the main thread only."""

    def __init__(self, home: Path) -> None:
        self.layout = layouts.at(home)
        self.layout.make_folders()
        # The product's own home, which holds nothing here: it may lie on another disk.
        self.product_home = home / "disk"
        self.product_home.mkdir()
        self.database = PostgresService(self.layout)
        self.valkey = ValkeyService(self.layout)
        self.fork_server: ForkServer | None = None
        self.roles: dict[str, Role] = {}
        self.port = _free_port()
        self.organization = ""
        self.api_keys: list[str] = []
        self.administrator_login: dict[str, str] = {}
        self.warm_pids: set[int] = set()
        self._nginx: Popen[bytes] | None = None
        self._declare_daphnes("api", *API_ROLES)
        self._declare_daphnes("ws", *WS_ROLES)
        self.roles["relay"] = Role("relay", "relay", {})

    # -- start and stop -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all of it, and return when the public port answers."""
        began = time.monotonic()
        self.database.launch()
        self.valkey.launch()
        self.fork_server = ForkServer(self._environment(), self.layout.logs / "nursery.log")
        self.database.wait_ready()
        self.valkey.wait_ready()
        self._seed()
        for name in self.roles:
            self.launch(name)
        self._start_nginx()
        _wait_until(lambda: all(self.is_ready(name) for name in self.roles), began + _START_SECONDS, self.log_tails)
        _wait_until(lambda: is_ready(("127.0.0.1", self.port)), began + _START_SECONDS, self.log_tails)

    def stop(self) -> None:
        """End every process of the stage, whatever state it is in."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.database.stop)
            stack.callback(self.valkey.stop)
            if self.fork_server is not None:
                stack.callback(self.fork_server.stop)
            stack.callback(self._stop_nginx)

    def _environment(self) -> dict[str, str]:
        endpoints = self.layout.endpoints
        return {
            "FREIGHT_HOME": str(self.product_home), "METRICS_DIR": str(self.layout.home / "metrics"),
            "DATABASE_URL": endpoints.database_url, "REDIS_URL": endpoints.redis_url,
            "SECRET_KEY": secrets.token_urlsafe(48), "DJANGO_SETTINGS_MODULE": "freight.settings",
            "DEMO": "0", "DEBUG": "0", "HTTPS": "0", "LOG_LEVEL": "INFO", "PORT": str(self.port),
            "DATABASE_POOL_SIZE": str(POOL_SIZE), "RATE_LIMIT_WHITELIST": "",
            # A drill asks more than any client; the limits' way through Redis stays in use.
            "RATE_LIMIT_GENERAL_MAX": _UNLIMITED, "RATE_LIMIT_WS_CONNECT_MAX": _UNLIMITED,
            "RATE_LIMIT_SOCKETS_PER_USER": _UNLIMITED, "RATE_LIMIT_SOCKETS_PER_ADDRESS": _UNLIMITED,
        }  # fmt: skip

    def _declare_daphnes(self, kind: str, *names: str) -> None:
        for name in names:
            path = self.layout.sockets / f"{name}.sock"
            self.roles[name] = Role(name, "serve", {"role": kind, "unix": str(path)}, path)

    def _seed(self) -> None:
        seed_file = self.layout.home / "world.json"
        pid = self._request(
            "start", command="prepare", options={"into": str(seed_file)}, log=self._log_path("prepare")
        )["pid"]
        _wait_until(
            lambda: self._request("status", pid=pid)["status"] is not None, time.monotonic() + 120, self.log_tails
        )
        if not seed_file.exists():
            raise RuntimeError(f"The stage was not prepared:\n{self.log_tails()}")
        seeded = json.loads(seed_file.read_text())
        self.organization, self.api_keys = seeded["organization"], seeded["keys"]
        self.administrator_login = seeded["administrator"]

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
                api=[sockets[name] for name in API_ROLES], ws=[sockets[name] for name in WS_ROLES],
            )
        )  # fmt: skip
        command: list[str | Path] = [
            proxy.nginx_program(),
            "-p",
            run,
            "-c",
            run / "nginx.conf",
            "-g",
            "daemon off;",
        ]
        self._nginx = spawn(command, log=Path(self._log_path("nginx")), cwd=run, when_orphaned=signal.SIGTERM)

    def _stop_nginx(self) -> None:
        if self._nginx is not None:
            self._nginx.terminate()
            try:
                self._nginx.wait(5)
            except TimeoutExpired:
                self._nginx.kill()
                self._nginx.wait()

    def freeze_nginx(self) -> None:
        """Stop nginx: it takes connections and says nothing."""
        self.register_frozen(self._signal_nginx(signal.SIGSTOP))

    def thaw_nginx(self) -> None:
        """Let nginx go on."""
        self._signal_nginx(signal.SIGCONT)
        self.clear_frozen()

    def _signal_nginx(self, signum: signal.Signals) -> list[int]:
        pids = [self._nginx.pid, *procfs.children(self._nginx.pid)] if self._nginx is not None else []
        procfs.send_signal(signum, pids)
        return pids

    # -- one process --------------------------------------------------------------------------------------

    def launch(self, name: str, *, failpoint: str | None = None, database: tuple[str, int] | None = None) -> int:
        """Start a role and return its process, without waiting for it to be ready."""
        role = self.roles[name]
        role.pid = self._request(
            "start", command=role.command, options=role.options, log=self._log_path(name), failpoint=failpoint,
            database=database and list(database),
        )["pid"]  # fmt: skip
        return role.pid

    def declare_spare_api(self, name: str) -> Path:
        """Declare one more api Daphne, which nginx does not know, and return its unix socket."""
        path = self.layout.sockets / f"{name}.sock"
        self.roles.setdefault(name, Role(name, "serve", {"role": "api", "unix": str(path)}, path))
        return path

    def signal(self, name: str, signum: signal.Signals) -> None:
        """Signal a role's process."""
        self._request("signal", pid=self.roles[name].pid, number=int(signum))

    def is_alive(self, name: str) -> bool:
        """Tell whether a role's process lives."""
        return bool(self.roles[name].pid) and self._request("status", pid=self.roles[name].pid)["status"] is None

    def is_ready(self, name: str) -> bool:
        """Tell whether a role answers the readiness check with 200; a relay is ready while it lives."""
        role = self.roles[name]
        return is_ready(str(role.socket)) if role.socket else self.is_alive(name)

    async def wait_ready(self, name: str, seconds: float = _START_SECONDS) -> None:
        """Wait until a role is ready."""
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(self.is_ready, name):
            if time.monotonic() > deadline or not self.is_alive(name):
                raise RuntimeError(f"{name} did not get ready:\n{self.log_tails()}")
            await asyncio.sleep(0.05)

    async def wait_gone(self, name: str, seconds: float = 30) -> None:
        """Wait until a role's process has ended."""
        deadline = time.monotonic() + seconds
        while self.is_alive(name):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not end:\n{self.log_tails()}")
            await asyncio.sleep(0.02)

    async def kill_and_restart(self, name: str) -> None:
        """Kill a role at once, start it again and wait until it is ready."""
        self.signal(name, signal.SIGKILL)
        await self.wait_gone(name)
        self.launch(name)
        await self.wait_ready(name)

    def register_frozen(self, pids: list[int]) -> None:
        """Have the nursery thaw these processes if we die before `thawed`."""
        self._request("froze", pids=pids)

    def clear_frozen(self) -> None:
        """Tell the nursery that nothing is frozen any more."""
        self._request("thawed")

    def log_tails(self) -> str:
        """Return the last lines of every log."""
        tail_lines = []
        for log in sorted(self.layout.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-12:]
            tail_lines += [f"== {log.name}", *lines]
        return "\n".join(tail_lines)

    def _log_path(self, name: str) -> str:
        return str(self.layout.logs / f"{name}.log")

    def _request(self, do: str, **arguments: Any) -> dict[str, Any]:
        if self.fork_server is None:
            raise RuntimeError("The stage has not been started.")
        return self.fork_server.request(do=do, **arguments)


@contextlib.contextmanager
def running_stage() -> Iterator[ProductStage]:
    """Have a stage for the length of a `with` block, in a temporary folder that goes with it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    home = Path(tempfile.mkdtemp(prefix="freight-drill-"))
    stage = ProductStage(home)
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


def _wait_until(condition: Callable[[], bool], deadline: float, log_tails: Callable[[], str]) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"The stage did not get ready:\n{log_tails()}")
        time.sleep(0.05)
