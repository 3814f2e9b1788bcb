"""The supervisor of `up`: prepare, start the processes, restart those that end, stop."""

import gc
import importlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from django.conf import settings

from exports.pdf import libraries
from freight import embedded
from freight.embedded.files import rotate_log
from freight.supervisor import proxy
from freight.supervisor.child_processes import ChildProcess, fork, stop_all
from freight.supervisor.roles import Role, expected_processes, is_ready, servers, workers
from freight.supervisor.startup import Instance
from freight.supervisor.steps import Step, database_steps, static_files_step
from freight.supervisor.supervised_process import SupervisedProcess
from freight.supervisor.terminal import Terminal

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_POLL_SECONDS = 0.02
_READY_SECONDS = 60.0
# With the 6 s of the services these stay below the 20 s in which `up` has to stop.
_DRAIN_SECONDS = 8.0
_WORKER_SECONDS = 3.0
_PROXY_SECONDS = 1.5
# A turn of the supervisor takes a tenth of a second.
_LATE_SECONDS = 2.0
# How often the logs are looked at.
_LOG_SECONDS = 10.0
_CATCH_UP_SECONDS = 5.0
# Libraries that only the servers load, without those that import the reactor.
_SERVER_LIBRARIES = (
    "uvloop",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.web.http",
    "autobahn.twisted.websocket",  # Daphne imports it
    "websockets.server",
)


class StopRequested(Exception):
    """SIGTERM or Ctrl-C during the start."""


class CannotStart(Exception):
    """A step or process failed; the message says which, `detail` holds the last lines of its log."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


@dataclass
class Supervisor:
    """The processes of one `up`."""

    instance: Instance
    terminal: Terminal
    stop_requested: bool = False
    # No process is said to hang before this monotonic time.
    judge_after: float = 0.0
    rotate_logs_at: float = 0.0
    servers: list[SupervisedProcess] = field(default_factory=list)
    workers: list[SupervisedProcess] = field(default_factory=list)
    proxies: list[SupervisedProcess] = field(default_factory=list)
    steps: list[ChildProcess] = field(default_factory=list)

    def on_signal(self, _: int, __: FrameType | None) -> None:
        """Request the stop; more signals change nothing."""
        self.stop_requested = True

    def start(self) -> None:
        """Start everything, nginx last: the public port answers only when everything behind it is ready.

        Raises StopRequested, CannotStart, EmbeddedError, NginxNotFound.
        """
        static_files = self._start_step(static_files_step())
        _preload_application()
        self._wait_for_services()
        for step in database_steps():
            self._finish_step(step, self._start_step(step))
        began = time.monotonic()
        server_roles = servers()
        self.servers = [self._watch_role(role) for role in server_roles]
        self._finish_step(static_files_step(), static_files)
        for role, watched in zip(server_roles, self.servers, strict=True):
            self._wait_until_ready(watched, role.ready)
        # After the servers: the simulator would slow down their start.
        self.workers = [self._watch_role(role) for role in workers()]
        self.terminal.done(", ".join(watched.name for watched in (*self.servers, *self.workers)), began)
        self._open_port(server_roles)

    def watch(self) -> None:
        """Restart processes that end or hang, until a stop is requested."""
        turned_at = time.monotonic()
        while not self.stop_requested:
            now = time.monotonic()
            if now - turned_at > _LATE_SECONDS:
                # We were held up, so they were, too (a machine that was suspended): let them go on first.
                self.judge_after = now + _CATCH_UP_SECONDS
            turned_at = now
            if now > self.rotate_logs_at:
                self.rotate_logs_at = now + _LOG_SECONDS
                for log in (settings.FREIGHT_HOME / "logs").glob("*.log"):
                    rotate_log(log)
            if self.instance.services and self.instance.services.supervisor.poll() is not None:
                self.terminal.say("The supervisor of the embedded services ended, starting it again")
                self.instance.start_services()
                self._wait_for_services()
            for notice in self.instance.services.notices() if self.instance.services else ():
                self.terminal.say(notice)
            for watched in (*self.servers, *self.workers, *self.proxies):
                watched.restart_if_ended(self.terminal)
                if now > self.judge_after:
                    watched.kill_if_hung(self.terminal)
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop everything within 20 s: drain the servers, then workers, nginx and services."""
        stop_all(self.steps, signal.SIGTERM, seconds=_WORKER_SECONDS)
        for worker in self.workers:
            if worker.name == "simulate-1":  # it writes all the time: stop it with the servers
                worker.child.signal(signal.SIGTERM)
        stop_all([each.child for each in self.servers], signal.SIGTERM, seconds=_DRAIN_SECONDS)
        stop_all([each.child for each in self.workers], signal.SIGTERM, seconds=_WORKER_SECONDS)
        stop_all([each.child for each in self.proxies], signal.SIGQUIT, seconds=_PROXY_SECONDS)
        self.instance.release()

    def _wait_for_services(self) -> None:
        began = time.monotonic() if self.proxies else self.instance.started_at
        if self.instance.services:
            self.instance.services.wait_ready(lambda name, _: self.terminal.done(name, began))

    def _start_step(self, step: Step) -> ChildProcess:
        child = fork(step.run, log=step.log)
        self.steps.append(child)
        return child

    def _finish_step(self, step: Step, child: ChildProcess) -> None:
        while child.poll() is None:
            self._pause_or_stop()
        self.steps.remove(child)
        if child.status:
            raise CannotStart(f"{step.name}: see {step.log}", child.tail())
        self.terminal.done(step.name, child.started_at)

    def _watch_role(self, role: Role) -> SupervisedProcess:
        return self._watch(role.name, lambda: fork(role.target, log=role.log))

    def _watch(self, name: str, start: Callable[[], ChildProcess]) -> SupervisedProcess:
        return SupervisedProcess(name=name, start=start, child=start())

    def _open_port(self, server_roles: list[Role]) -> None:
        began = time.monotonic()
        sockets = {kind: [role.socket for role in server_roles if role.socket and role.kind == kind]
                   for kind in ("api", "ws")}  # fmt: skip
        nginx = self._watch("nginx", lambda: proxy.start(sockets["api"], sockets["ws"]))
        self.proxies = [nginx]
        self._wait_until_ready(nginx, lambda: is_ready(("127.0.0.1", settings.PORT)))
        self.terminal.done(f"nginx on port {settings.PORT}", began)

    def _wait_until_ready(self, watched: SupervisedProcess, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        child = watched.child
        while not ready():
            self._pause_or_stop()
            if child.poll() is not None:
                raise CannotStart(f"{watched.name} ended while starting: see {child.log}", child.tail())
            if time.monotonic() > deadline:
                raise CannotStart(f"{watched.name} is not ready after {_READY_SECONDS:.0f} s: see {child.log}")

    def _pause_or_stop(self) -> None:
        if self.stop_requested:
            raise StopRequested
        time.sleep(_POLL_SECONDS)


def run(instance: Instance) -> int:
    """Run until SIGTERM or Ctrl-C; returns 0 after a requested stop, 1 where it cannot start."""
    terminal = Terminal()
    supervisor = Supervisor(instance, terminal)
    for number in _SIGNALS:
        signal.signal(number, supervisor.on_signal)
    status = 1
    if not settings.EXPECTED_PROCESSES:
        settings.EXPECTED_PROCESSES = expected_processes()  # for all that are forked from here
    try:
        supervisor.start()
        took = time.monotonic() - instance.started_at
        terminal.show_summary(url=instance.url, home=instance.home, demo=settings.DEMO, seconds=took)
        if not libraries.present():
            terminal.say("PDF documents are off, pango is missing. Type: sudo make system-packages")
        supervisor.watch()
        status = 0
    except StopRequested:
        status = 0
    except CannotStart as failure:
        terminal.failed(str(failure), detail=failure.detail)
    except (embedded.EmbeddedError, proxy.NginxNotFound) as failure:
        terminal.failed(str(failure))
    finally:
        began = time.monotonic()
        terminal.say("Stopping")
        supervisor.stop()
        terminal.done("stopped", began)
        # At interpreter shutdown the handlers are gone: one more signal must not change the status.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return status


def _preload_application() -> None:
    """Import the product once and freeze it: the forked processes share the memory."""
    for name in ("freight.asgi", settings.ROOT_URLCONF, *_SERVER_LIBRARIES):
        importlib.import_module(name)
    if "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("A reactor was imported before the roles are forked; find the import.")
    gc.collect()
    gc.freeze()
