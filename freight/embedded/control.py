"""Start and stop the embedded services of a home from the process that needs them."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from freight.embedded import layout as layouts
from freight.embedded.errors import EmbeddedError

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_STOP_SECONDS = 15.0


class AlreadyRunning(EmbeddedError):
    """The services of this home run already; another process owns them."""

    def __init__(self, layout: layouts.Layout, owner: int | None) -> None:
        self.owner = owner
        holder = f" for process {owner}" if owner else ""
        super().__init__(f"The services in {layout.home} run already{holder}: {layout.endpoints.database_url}")


def ignore_ready(_: str, __: float) -> None:
    """Ignore that a service is ready."""


@dataclass
class RunningServices:
    """Services that start or run, and the pipe that tells their keeper that we live."""

    layout: layouts.Layout
    supervisor: subprocess.Popen[str]

    @property
    def endpoints(self) -> layouts.Endpoints:
        """Where the services answer."""
        return self.layout.endpoints

    def wait_ready(self, on_ready: Callable[[str, float], None] = ignore_ready) -> None:
        """Return once every service is ready, telling each with its seconds; else EmbeddedError."""
        for line in _messages(self.supervisor.stdout):
            if "ready" in line:
                on_ready(line["ready"], line["seconds"])
            elif "running" in line:
                return
            else:
                self.stop()
                if "taken" in line:
                    raise AlreadyRunning(self.layout, owner_of(self.layout))
                raise EmbeddedError(line["error"])
        self.stop()
        raise EmbeddedError(f"The embedded services ended while starting: see {self.layout.logs}.")

    def stop(self) -> None:
        """Stop the services in order and return when they have ended (≤ 15 s)."""
        # A byte and not only the end of file: forked children may hold copies of the pipe.
        if self.supervisor.stdin and not self.supervisor.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.supervisor.stdin.write("x")
                self.supervisor.stdin.flush()
            with contextlib.suppress(BrokenPipeError):
                self.supervisor.stdin.close()
        try:
            self.supervisor.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()  # the services die with it
            self.supervisor.wait()
        if self.supervisor.stdout:
            self.supervisor.stdout.close()


def start(home: Path, *, postgres: bool = True, valkey: bool = True, durable: bool = True) -> RunningServices:
    """Begin to start the services of a home; `wait_ready` of what it returns waits for them.

    Without `durable` PostgreSQL does not flush to disk: for tests only. Raises EmbeddedError where the
    home cannot be used.
    """
    layout = layouts.at(home)
    layout.make_folders()
    command = [sys.executable, "-m", "freight.embedded.service_supervisor", str(layout.home), str(os.getpid())]
    command += ["--postgres"] * postgres + ["--valkey"] * valkey + ["--not-durable"] * (not durable)
    with (layout.logs / "embedded.log").open("a") as log:
        supervisor = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=_CHECKOUT,
            start_new_session=True,  # Ctrl-C is for us; the services are stopped in their turn
        )
    return RunningServices(layout, supervisor)


@contextlib.contextmanager
def running(
    home: Path, *, postgres: bool = True, valkey: bool = True, durable: bool = True
) -> Iterator[RunningServices]:
    """Run the services of a home for the length of a `with` block."""
    services = start(home, postgres=postgres, valkey=valkey, durable=durable)
    try:
        services.wait_ready()
        yield services
    finally:
        services.stop()


def owner_of(layout: layouts.Layout) -> int | None:
    """Return the process id written into the lock by whoever holds it, None where unreadable."""
    try:
        return int(json.loads(layout.lock.read_text())["owner"])
    except (OSError, ValueError, KeyError):
        return None


def _messages(stream: IO[str] | None) -> Iterator[dict[str, Any]]:
    for line in stream or ():
        yield json.loads(line)
