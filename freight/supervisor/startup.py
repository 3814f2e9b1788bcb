"""Before Django loads: lock the home, check the port, and start the embedded services."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from freight import embedded
from freight.embedded import files

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class InstanceAlreadyRunning(Exception):
    """Freight runs in this home already; the message says where. `up` then exits with status 0."""


class StartupError(Exception):
    """Freight cannot start; the message says what to do about it."""


@dataclass
class Instance:
    """One running Freight of a FREIGHT_HOME: its lock, port and embedded services."""

    home: Path
    port: int
    started_at: float
    lock: IO[str]
    services: embedded.RunningServices | None = None

    @property
    def url(self) -> str:
        """The public address."""
        return f"http://127.0.0.1:{self.port}"

    def start_services(self) -> None:
        """Start the services for which no URL is configured, without waiting; raises EmbeddedError."""
        postgres, valkey = not _env("DATABASE_URL"), not _env("REDIS_URL")
        if postgres or valkey:
            self.services = embedded.start(self.home, postgres=postgres, valkey=valkey)

    def release(self) -> None:
        """Stop the services and release the lock."""
        if self.services:
            self.services.stop()
        self.lock.close()


def start_instance() -> Instance:
    """Lock the home, set DEMO and FREIGHT_HOME in the environment, and start the services without waiting.

    Raises InstanceAlreadyRunning where Freight runs in this home, StartupError where it cannot start.
    """
    started_at = time.monotonic()
    home = _home()
    port = _port()
    lock = _acquire_lock(home, port)
    instance = Instance(home=home, port=port, started_at=started_at, lock=lock)
    # The demo accounts have a public password: never in a database of the operator's.
    os.environ["DEMO"] = "0" if _env("DATABASE_URL") else _env("DEMO") or "1"
    try:
        if port:
            _check_port(port)
        embedded.layout.at(home).make_common_folders()
        instance.start_services()
    except embedded.EmbeddedError as error:
        lock.close()
        raise StartupError(str(error)) from error
    except StartupError:
        lock.close()
        raise
    return instance


def _env(name: str) -> str:
    return os.environ.get(name, "").strip()


def _home() -> Path:
    home = Path(_env("FREIGHT_HOME") or CHECKOUT / ".freight").absolute()
    os.environ["FREIGHT_HOME"] = str(home)
    return home


def _port() -> int:
    raw_port = _env("PORT") or "4000"
    # A bad value is left to the settings, which refuse it.
    return int(raw_port) if raw_port.isdecimal() and int(raw_port) < 65536 else 0


def _acquire_lock(home: Path, port: int) -> IO[str]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        return files.lock_file(home / "up.lock", process=os.getpid(), port=port)
    except BlockingIOError:
        raise InstanceAlreadyRunning(_already_running_message(home)) from None
    except OSError as error:
        raise StartupError(f"FREIGHT_HOME={str(home)!r} cannot be used: {error.strerror}.") from error


def _already_running_message(home: Path) -> str:
    holder = files.lock_holder(home / "up.lock")
    if {"port", "process"} <= holder.keys():
        where = f"at http://127.0.0.1:{holder['port']}/ (process {holder['process']})"
    else:
        where = f"in {home}"
    return f"Freight runs already {where}; nothing was changed."


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartupError(
                f"PORT={port} cannot be used ({error.strerror}): choose another, for example "
                f"`PORT={port + 1 if port < 65535 else 4000} make run`."
            ) from error
