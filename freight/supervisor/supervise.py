"""The life of `up`: prepare, start, watch, stop."""

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
from freight.supervisor import proxy
from freight.supervisor.begin import Begun
from freight.supervisor.children import Child, end, fork, rotate
from freight.supervisor.roles import Role, answers, servers, workers
from freight.supervisor.steps import Step, database, files
from freight.supervisor.terminal import Terminal
from freight.supervisor.watched import Watched

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_POLL_SECONDS = 0.02
_READY_SECONDS = 60.0
# Together with the services' 6 s these stay below the 20 s that are promised.
_DRAIN_SECONDS = 8.0
_WORKER_SECONDS = 3.0
_PROXY_SECONDS = 1.5
# What a Daphne loads besides the product, as far as it does not import the reactor.
_SERVER_LIBRARIES = (
    "uvloop",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.web.http",
    "autobahn.twisted.websocket",
)


class ToldToStop(Exception):
    """SIGTERM or Ctrl-C came while starting."""


class CannotStart(Exception):
    """Something that must run does not; the message says what, `detail` the last lines of its log."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


@dataclass
class Supervisor:
    """Everything that one `up` has started."""

    begun: Begun
    terminal: Terminal
    told_to_stop: bool = False
    servers: list[Watched] = field(default_factory=list)
    workers: list[Watched] = field(default_factory=list)
    proxies: list[Watched] = field(default_factory=list)
    steps: list[Child] = field(default_factory=list)

    def on_signal(self, _: int, __: FrameType | None) -> None:
        """This will note that somebody wants the end; saying it often changes nothing."""
        self.told_to_stop = True

    def start(self) -> None:
        """This will bring everything up, the public port last."""
        building = self._begin_step(files())
        _load_what_all_need()
        self._wait_for_services()
        for step in database():
            self._finish_step(step, self._begin_step(step))
        began = time.monotonic()
        listening = servers()
        self.servers = [self._watch_role(role) for role in listening]
        self._finish_step(files(), building)
        for role, watched in zip(listening, self.servers, strict=True):
            self._wait_until_ready(watched, role.ready)
        # Not before the servers answer: what simulates would take their processors while they load.
        self.workers = [self._watch_role(role) for role in workers()]
        self.terminal.done(", ".join(watched.name for watched in (*self.servers, *self.workers)), began)
        self._open_port(listening)

    def watch(self) -> None:
        """This will start again what ends, until somebody wants the end."""
        while not self.told_to_stop:
            if self.begun.services and self.begun.services.keeper.poll() is not None:
                self.terminal.say("The keeper of the services ended, starting them again")
                self.begun.start_services()
                self._wait_for_services()
            for watched in (*self.servers, *self.workers, *self.proxies):
                watched.look_after(self.terminal)
            time.sleep(0.1)

    def stop(self) -> None:
        """This will stop everything in order (≤ 20 s): drain, work, proxy, services."""
        end(self.steps, signal.SIGTERM, seconds=_WORKER_SECONDS)
        for worker in self.workers:
            if worker.name == "simulate":  # it writes without pause: not after the drain but with it
                worker.child.signal(signal.SIGTERM)
        end([each.child for each in self.servers], signal.SIGTERM, seconds=_DRAIN_SECONDS)
        end([each.child for each in self.workers], signal.SIGTERM, seconds=_WORKER_SECONDS)
        end([each.child for each in self.proxies], signal.SIGQUIT, seconds=_PROXY_SECONDS)
        self.begun.release()

    def _wait_for_services(self) -> None:
        began = time.monotonic() if self.proxies else self.begun.at
        if self.begun.services:
            self.begun.services.wait_ready(lambda name, _: self.terminal.done(name, began))

    def _begin_step(self, step: Step) -> Child:
        child = fork(step.run, log=step.log)
        self.steps.append(child)
        return child

    def _finish_step(self, step: Step, child: Child) -> None:
        while child.poll() is None:
            self._pause()
        self.steps.remove(child)
        if child.status:
            raise CannotStart(f"{step.name}: see {step.log}", child.tail())
        self.terminal.done(step.name, child.started_at)

    def _watch_role(self, role: Role) -> Watched:
        return self._watch(role.name, lambda: fork(role.target, log=role.log))

    def _watch(self, name: str, start: Callable[[], Child]) -> Watched:
        rotate(settings.FREIGHT_HOME / "logs" / f"{name}.log")
        return Watched(name=name, start=start, child=start())

    def _open_port(self, listening: list[Role]) -> None:
        began = time.monotonic()
        sockets = {kind: [role.socket for role in listening if role.socket and role.kind == kind]
                   for kind in ("api", "ws")}  # fmt: skip
        nginx = self._watch("nginx", lambda: proxy.start(sockets["api"], sockets["ws"]))
        self.proxies = [nginx]
        self._wait_until_ready(nginx, lambda: answers(("127.0.0.1", settings.PORT)))
        self.terminal.done(f"nginx on port {settings.PORT}", began)

    def _wait_until_ready(self, watched: Watched, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        child = watched.child
        while not ready():
            self._pause()
            if child.poll() is not None:
                raise CannotStart(f"{watched.name} ended while starting: see {child.log}", child.tail())
            if time.monotonic() > deadline:
                raise CannotStart(f"{watched.name} is not ready after {_READY_SECONDS:.0f} s: see {child.log}")

    def _pause(self) -> None:
        if self.told_to_stop:
            raise ToldToStop
        time.sleep(_POLL_SECONDS)


def run(begun: Begun) -> int:
    """This will live until SIGTERM or Ctrl-C; returns 0 after an asked-for end, 1 where it cannot start."""
    terminal = Terminal()
    supervisor = Supervisor(begun, terminal)
    for number in _SIGNALS:
        signal.signal(number, supervisor.on_signal)
    status = 1
    try:
        supervisor.start()
        took = time.monotonic() - begun.at
        terminal.box(url=begun.url, home=begun.home, demo=settings.DEMO, seconds=took)
        if not libraries.present():
            terminal.say("PDF documents are off, pango is missing. Type: sudo make system-packages")
        supervisor.watch()
        status = 0
    except ToldToStop:
        status = 0
    except CannotStart as failure:
        terminal.failed(str(failure), detail=failure.detail)
    except (embedded.EmbeddedError, proxy.NoProxy) as failure:
        terminal.failed(str(failure))
    finally:
        began = time.monotonic()
        terminal.say("Stopping")
        supervisor.stop()
        terminal.done("stopped", began)
        # While Python winds down the handler is gone; one more signal must not change the status.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return status


def _load_what_all_need() -> None:
    """This will import the product once, out of the garbage collector's sight: the forks then share it."""
    for name in ("freight.asgi", settings.ROOT_URLCONF, *_SERVER_LIBRARIES):
        importlib.import_module(name)
    if "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("A reactor was imported before the roles are forked; find the import.")
    gc.collect()
    gc.freeze()
