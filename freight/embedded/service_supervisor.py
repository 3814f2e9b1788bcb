"""The process that owns the services: it starts them, restarts one that dies, and stops them with its owner.

Run as `python -m freight.embedded.service_supervisor HOME OWNER_PID` with `--postgres` and `--valkey`. It
writes one JSON object a line to standard output: `{"ready": name, "seconds": s}` for each service, then
`{"running": true}`, and later `{"notice": sentence}` where one does not answer; or `{"taken": true}` where another
holds the home's lock, or `{"error": sentence}`. It stops the services and exits on SIGTERM, on a byte or the end of
file on standard input, and when the owner is gone.
"""

import argparse
import json
import logging
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import IO

from freight.embedded import files
from freight.embedded import layout as layouts
from freight.embedded.errors import EmbeddedError
from freight.embedded.postgres import Postgres
from freight.embedded.processes import wait_until
from freight.embedded.valkey import Valkey

log = logging.getLogger("freight.embedded")

_POLL_SECONDS = 0.25
_GRACE_SECONDS = 5.0
# Without an owner a short grace suffices: recovery at the next start does the rest.
_ORPHANED_GRACE_SECONDS = 2.5
_RESTART_SECONDS = 0.5
_PROBE_SECONDS = 3.0


class ServiceSupervisor:
    """The services of one home, and the process id of their owner."""

    def __init__(self, services: list[Postgres | Valkey], *, owner: int) -> None:
        self._services = services
        self._owner = owner
        self._stop_requested = False
        self._probe_at = time.monotonic() + _PROBE_SECONDS
        self._silent: set[str] = set()

    def start(self) -> None:
        """Launch all services at once and report each when it is ready; raises SystemExit on a request to stop."""
        # A recovery may take long: the timer notices a request to stop meanwhile.
        signal.signal(signal.SIGALRM, self._abort_start)
        signal.setitimer(signal.ITIMER_REAL, _POLL_SECONDS, _POLL_SECONDS)
        try:
            self._start()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _start(self) -> None:
        began = time.monotonic()
        for service in self._services:
            files.rotate_log(service.log)
            service.launch()
        for service in reversed(self._services):  # Valkey is ready first
            service.wait_ready()
            send_message(ready=service.name, seconds=round(time.monotonic() - began, 2))
        send_message(running=True)

    def request_stop(self, *_: object) -> None:
        """Make `watch` return. The handler of SIGTERM."""
        self._stop_requested = True

    def watch(self) -> None:
        """Restart services that die, until a request to stop."""
        while not self._should_stop(within=_POLL_SECONDS):
            for service in self._services:
                if service.process is not None and service.process.poll() is not None:
                    self._restart(service)
            if time.monotonic() > self._probe_at:
                self._probe()
                self._probe_at = time.monotonic() + _PROBE_SECONDS

    def _probe(self) -> None:
        """Say which services do not answer. They are not restarted: whoever has stopped one has a reason."""
        for service in self._services:
            silent_before = service.name in self._silent
            if service.answers():
                self._silent.discard(service.name)
                notice = f"{service.name} answers again" if silent_before else ""
            else:
                self._silent.add(service.name)
                process = service.process.pid if service.process else 0
                notice = "" if silent_before else f"{service.name} does not answer (process {process} hangs)"
            if notice:
                log.warning(notice)
                send_message(notice=notice)

    def _should_stop(self, *, within: float = 0) -> bool:
        # Standard input is readable by a byte or at the end of file: both mean stop.
        return self._stop_requested or self._is_orphaned or bool(select.select([sys.stdin], [], [], within)[0])

    def _abort_start(self, *_: object) -> None:
        if self._should_stop():
            raise SystemExit(1)

    def stop(self) -> None:
        """Stop all services, by force after the grace period."""
        grace_seconds = _ORPHANED_GRACE_SECONDS if self._is_orphaned else _GRACE_SECONDS
        for service in self._services:
            service.request_stop()
        if not wait_until(self._all_ended, seconds=grace_seconds):
            for service in self._services:
                service.force_stop()
            if not wait_until(self._all_ended, seconds=1.0):
                self._kill()

    @property
    def _is_orphaned(self) -> bool:
        return os.getppid() != self._owner

    def _all_ended(self) -> bool:
        return all(service.process is None or service.process.poll() is not None for service in self._services)

    def _kill(self) -> None:
        for service in self._services:
            if service.process is not None:
                service.process.kill()

    def _restart(self, service: Postgres | Valkey) -> None:
        log.warning("%s ended, starting it again", service.name)
        time.sleep(_RESTART_SECONDS)
        try:
            service.launch()
            service.wait_ready()
        except EmbeddedError:
            log.exception("%s did not start", service.name)


def send_message(**message: object) -> None:
    """Write one message to the owner; that it is gone is noticed elsewhere."""
    try:
        print(json.dumps(message), flush=True)  # noqa: T201  the protocol with the owner
    except BrokenPipeError:
        log.info("the owner has closed the pipe")


def acquire_lock(layout: layouts.Layout, owner: int) -> IO[str]:
    """Lock the home for as long as the file stays open; raises BlockingIOError where another process holds it."""
    # The keys are stored: a supervisor of another release reads them.
    return files.lock_file(layout.lock, keeper=os.getpid(), owner=owner)


def main(arguments: list[str]) -> int:
    """Run the services until a request to stop or the owner's end; returns an exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("owner", type=int)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--valkey", action="store_true")
    parser.add_argument("--not-durable", action="store_true")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    layout = layouts.at(options.home)
    try:
        layout.make_folders()
        lock = acquire_lock(layout, options.owner)
    except BlockingIOError:
        send_message(taken=True)
        return 1
    except EmbeddedError as error:
        send_message(error=str(error))
        return 1
    with lock:
        return _supervise(layout, options)


def _supervise(layout: layouts.Layout, options: argparse.Namespace) -> int:
    services: list[Postgres | Valkey] = []
    supervisor = ServiceSupervisor(services, owner=options.owner)
    signal.signal(signal.SIGTERM, supervisor.request_stop)
    try:
        if options.postgres:
            services.append(Postgres(layout, durable=not options.not_durable))
        if options.valkey:
            services.append(Valkey(layout))
        supervisor.start()
        supervisor.watch()
    except EmbeddedError as error:
        send_message(error=str(error))
        return 1
    finally:
        supervisor.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
