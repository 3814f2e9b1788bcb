"""The first moments, before Django: one instance a home, a free port, services on their way."""

import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from freight import embedded

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class InstanceAlreadyRunning(Exception):
    """Freight runs already; the message says where. `up` then ends with status 0."""


class StartupError(Exception):
    """Freight cannot start here; the message says the mend."""


@dataclass
class Instance:
    """What holds from the first moment to the last."""

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
        """Begin to start the services for which no URL is given; raises EmbeddedError."""
        postgres, valkey = not _env("DATABASE_URL"), not _env("REDIS_URL")
        if postgres or valkey:
            self.services = embedded.start(self.home, postgres=postgres, valkey=valkey)

    def release(self) -> None:
        """Stop the services and let another start."""
        if self.services:
            self.services.stop()
        self.lock.close()


def start_instance() -> Instance:
    """Take the home's lock, prepare the environment and begin to start the services.

    Raises NothingToDo where Freight runs in this home, CannotBegin where it cannot start.
    """
    started_at = time.monotonic()
    home = _home()
    port = _port()
    lock = _acquire_lock(home, port)
    instance = Instance(home=home, port=port, started_at=started_at, lock=lock)
    # Demo accounts have a known password: never in a database that somebody else runs.
    os.environ["DEMO"] = "0" if _env("DATABASE_URL") else _env("DEMO") or "1"
    try:
        if port:
            _check_port(port)
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
    # A wrong value is refused by the settings, in their words.
    return int(raw_port) if raw_port.isdecimal() and int(raw_port) < 65536 else 0


def _acquire_lock(home: Path, port: int) -> IO[str]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "up.lock").open("a+")
    except OSError as error:
        raise StartupError(f"FREIGHT_HOME={str(home)!r} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise InstanceAlreadyRunning(_already_running_message(home)) from None
    lock.truncate(0)
    lock.write(json.dumps({"process": os.getpid(), "port": port}))
    lock.flush()
    return lock


def _already_running_message(home: Path) -> str:
    try:
        holder = json.loads((home / "up.lock").read_text())
        where = f"at http://127.0.0.1:{holder['port']}/ (process {holder['process']})"
    except (OSError, ValueError, KeyError):
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
