"""Start and stop the embedded services of a FREIGHT_HOME from the process that needs them: their owner."""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from freight.embedded import files
from freight.embedded import layout as layouts
from freight.embedded.errors import EmbeddedError

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_STOP_SECONDS = 15.0


class AlreadyRunning(EmbeddedError):
    """The services of this home are running already; another process owns them."""

    def __init__(self, layout: layouts.Layout, owner: int | None) -> None:
        self.owner = owner
        holder = f" for process {owner}" if owner else ""
        super().__init__(f"The services in {layout.home} run already{holder}: {layout.endpoints.database_url}")


def ignore_ready(_: str, __: float) -> None:
    """Do nothing: the default of `wait_ready`."""


@dataclass
class RunningServices:
    """The supervisor process of the services; it lives as long as the pipe to its standard input."""

    layout: layouts.Layout
    supervisor: subprocess.Popen[str]

    @property
    def endpoints(self) -> layouts.Endpoints:
        """The URLs of the services."""
        return self.layout.endpoints

    def wait_ready(self, on_ready: Callable[[str, float], None] = ignore_ready) -> None:
        """Wait until every service is ready, calling `on_ready(name, seconds)` for each.

        Raises AlreadyRunning, or EmbeddedError where a service does not start; both stop the others.
        """
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

    def notices(self) -> list[str]:
        """Return what the supervisor has had to say since the last call, without waiting."""
        sentences: list[str] = []
        stream = self.supervisor.stdout
        while stream is not None and select.select([stream], [], [], 0)[0] and (line := stream.readline()):
            sentences += filter(None, [json.loads(line).get("notice")])
        return sentences

    def stop(self) -> None:
        """Stop the services and wait for their end, at most 15 s."""
        # A byte and not only the end of file: forked children may hold the pipe open.
        if self.supervisor.stdin and not self.supervisor.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.supervisor.stdin.write("x")
                self.supervisor.stdin.flush()
            with contextlib.suppress(BrokenPipeError):
                self.supervisor.stdin.close()
        try:
            self.supervisor.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()  # the kernel then signals the services (PR_SET_PDEATHSIG)
            self.supervisor.wait()
        if self.supervisor.stdout:
            self.supervisor.stdout.close()


def start(home: Path, *, postgres: bool = True, valkey: bool = True, durable: bool = True) -> RunningServices:
    """Start the services of a home without waiting for them: see `RunningServices.wait_ready`.

    Without `durable` PostgreSQL does not flush to disk: for tests only. Raises EmbeddedError where the home
    cannot be used.
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
            start_new_session=True,  # Ctrl-C in the terminal must not reach the services
        )
    return RunningServices(layout, supervisor)


@contextlib.contextmanager
def running(
    home: Path, *, postgres: bool = True, valkey: bool = True, durable: bool = True
) -> Iterator[RunningServices]:
    """Run the services of a home within a `with` block."""
    services = start(home, postgres=postgres, valkey=valkey, durable=durable)
    try:
        services.wait_ready()
        yield services
    finally:
        services.stop()


def owner_of(layout: layouts.Layout) -> int | None:
    """Return the owner's process id from the lock file, None where it cannot be read."""
    owner = files.lock_holder(layout.lock).get("owner")
    return owner if isinstance(owner, int) else None


def _messages(stream: IO[str] | None) -> Iterator[dict[str, Any]]:
    for line in stream or ():
        yield json.loads(line)
