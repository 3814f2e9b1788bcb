"""The product for a test, a drill or a benchmark: its processes on one database and one Redis.

What a stage consists of is decided by the presets (`presets.py`); here is how it starts, stops and is reached.
"""

import contextlib
import json
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, Self

from tests.drills.harness.backing_services import BackingServices, PostgresService, ValkeyService
from tests.drills.harness.nginx import Nginx
from tests.drills.harness.process import START_SECONDS, ForkLauncher, Launcher, ProductProcess, Role, api

# The names of a fault stage's Daphnes.
API_ROLES, WS_ROLES = ("api-1", "api-2"), ("ws-1", "ws-2")
_SEED_SECONDS: Final = 120.0


class Freezable(Protocol):
    """A service that can be stopped without ending it."""

    def freeze(self) -> list[int]: ...
    def thaw(self) -> None: ...


@dataclass(frozen=True)
class Seeded:
    """What a seeded database holds: an organisation, the API keys of its dispatchers, an administrator's login."""

    organization: str
    api_keys: list[str]
    administrator_login: dict[str, str]


class ProductStage:
    """Processes of the product, and nginx where there is one. Starts and stops from the main thread only.

    `environment` is what the launcher gives every process; `seed` fills a private database (`seed.py`), which
    takes a ForkLauncher.
    """

    def __init__(
        self, folder: Path, roles: Sequence[Role], *, environment: Mapping[str, str], launcher: Launcher,
        backing: BackingServices | None = None, nginx: Nginx | None = None, seed: bool = False,
    ) -> None:  # fmt: skip
        self.folder, self.environment, self._nginx = folder, dict(environment), nginx
        self.processes: dict[str, ProductProcess] = {}
        # The processes that have answered once: the first response is slow (`scenarios.traffic`).
        self.warm_pids: set[int] = set()
        self._launcher, self._backing, self._with_seed = launcher, backing, seed
        self._seeded: Seeded | None = None
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        for role in roles:
            self.declare(role)

    # -- start and stop -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all of it, and return once every process and the public port are ready; raises RuntimeError."""
        deadline = time.monotonic() + START_SECONDS
        if self._backing is not None:
            self._backing.launch()
        self._launcher.start()  # a fork server loads the product while the services start
        if self._backing is not None:
            self._backing.wait_ready()
        if self._with_seed:
            self._seeded = self._seed()
        processes = list(self.processes.values())
        for process in processes:
            process.launch()
        if self._nginx is not None:
            self._nginx.start()
        for process in processes:
            process.wait_ready(deadline - time.monotonic())
        if self._nginx is not None:
            self._nginx.wait_listening(seconds=deadline - time.monotonic())

    def stop(self) -> None:
        """End every process of the stage, whatever state it is in."""
        with contextlib.ExitStack() as stack:
            if self._backing is not None:
                stack.callback(self._backing.stop)
            stack.callback(self._launcher.close)
            if not self._launcher.kills_on_close:
                started = [process for process in self.processes.values() if process.is_alive()]
                for process in started:
                    stack.callback(process.stop)
                for process in started:
                    process.signal(signal.SIGTERM)
            if self._nginx is not None:
                stack.callback(self._nginx.stop)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def declare(self, role: Role) -> ProductProcess:
        """Add a role unless one of its name is there, and return its process, which is stopped with the stage.

        nginx knows nothing of a role that was added later.
        """
        log = self._logs / f"{role.name}.log"
        return self.processes.setdefault(role.name, ProductProcess(role, self._launcher, log=log))

    def declare_spare_api(self, name: str) -> ProductProcess:
        """Add an api Daphne on a unix socket of its own, which is not launched, and return its process."""
        if self._backing is None:
            raise RuntimeError("This stage has no folder for sockets.")
        return self.declare(replace(api(unix=self._backing.sockets / f"{name}.sock"), name=name))

    def _seed(self) -> Seeded:
        target = self.folder / "seed.json"
        log = self._logs / "seed.log"
        seeding = self._launcher.launch(Role("seed", "seed", {"into": str(target)}), log=log)
        status = seeding.wait(_SEED_SECONDS)
        if status or not target.exists():
            raise RuntimeError(f"The stage was not seeded:\n{self.log_tails()}")
        return Seeded(**json.loads(target.read_text()))

    # -- what it consists of ------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> ProductProcess:
        return self.processes[name]

    @property
    def api(self) -> ProductProcess:
        """The first process that serves REST."""
        return next(process for name, process in self.processes.items() if name.startswith(("api-", "all-")))

    @property
    def ws(self) -> list[ProductProcess]:
        """The processes that serve sockets alone."""
        return [process for name, process in self.processes.items() if name.startswith("ws-")]

    @property
    def daphnes(self) -> list[ProductProcess]:
        """The first process that serves REST, then those that serve sockets alone."""
        return [self.api, *self.ws]

    @property
    def port(self) -> int:
        """The public port: nginx's where there is one."""
        return self._nginx.port if self._nginx is not None else self.api.port

    @property
    def url(self) -> str:
        """The URL of the public port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> PostgresService:
        """The private PostgreSQL; raises RuntimeError where there is none."""
        if self._backing is None or self._backing.postgres is None:
            raise RuntimeError("This stage has no PostgreSQL of its own.")
        return self._backing.postgres

    @property
    def valkey(self) -> ValkeyService:
        """The private Valkey; raises RuntimeError where there is none."""
        if self._backing is None:
            raise RuntimeError("This stage has no Valkey of its own.")
        return self._backing.valkey

    @property
    def seeded(self) -> Seeded:
        """What the database was filled with; raises RuntimeError where it was not."""
        if self._seeded is None:
            raise RuntimeError("This stage was not seeded.")
        return self._seeded

    @property
    def nginx(self) -> Nginx:
        """The nginx before the Daphnes; raises RuntimeError where there is none."""
        if self._nginx is None:
            raise RuntimeError("This stage has no nginx.")
        return self._nginx

    # -- faults -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def frozen(self, service: Freezable) -> Iterator[None]:
        """Freeze a service for the length of a `with` block. If we die in it, the fork server thaws the service."""
        if not isinstance(self._launcher, ForkLauncher):
            raise TypeError("Only a stage with a fork server can freeze a service.")
        fork_server = self._launcher.fork_server
        fork_server.request(do="froze", pids=service.freeze())
        try:
            yield
        finally:
            service.thaw()
            fork_server.request(do="thawed")

    def log_tails(self) -> str:
        """Return the last lines of every log, nginx's and the services' among them."""
        tail_lines = []
        logs = sorted(self._logs.glob("*.log"))
        if self._nginx is not None and self._nginx.log.exists():
            logs.append(self._nginx.log)
        for log in logs:
            lines = log.read_text(errors="replace").splitlines()[-12:]
            tail_lines += [f"== {log.name}", *lines]
        return "\n".join(tail_lines)
