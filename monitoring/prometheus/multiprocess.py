"""Metrics of all processes of a host: each keeps its numbers in files of its own in one folder; anyone can add up.

prometheus_client's multiprocess mode, with three things that it leaves to others: a process is known by its id
and its start, so that neither a reused id nor a dead process is taken for a living one; the counts of the dead
are kept in one file, so that the folder does not grow; and a process has a name that stays in bounds.
"""

import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from prometheus_client import values

# Room that is reserved on the disk at once: a full disk must not end a process by SIGBUS.
_RESERVED: Final = {"histogram": 512 * 1024, "counter": 128 * 1024}
_LOCK_SECONDS: Final = 0.5


@dataclass
class _State:
    """Where this process keeps its numbers, and who it is."""

    folder: Path | None = None
    identity: str = ""
    name: str = ""
    host: str = ""


_state: Final = _State()


def install(folder: Path, host: str = "") -> None:
    """Keep the numbers of this process, and of those that it forks, in files under the folder.

    Before any metric is declared. Where the folder cannot be used, a process keeps its numbers to itself.
    A host has a folder of its own: on a shared disk, too, an id means a process of this host. `host` names it
    where the machine's name does not tell it from others.
    """
    _state.host = host
    host_directory = folder / (host or socket.gethostname()).replace("/", "-")
    try:
        host_directory.mkdir(parents=True, exist_ok=True)
        _open_files(host_directory)
    except OSError as error:
        values.ValueClass = values.MutexValue
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        print(f"Metrics are of one process only, {host_directory} cannot be used: {error}", file=sys.stderr)
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(host_directory)  # where prometheus_client looks for it
    values.ValueClass = values.MultiProcessValue(process_identity)  # type: ignore[no-untyped-call]
    os.register_at_fork(after_in_child=_reset_after_fork)


def host_name() -> str:
    """Name this host as no other may be named."""
    return _state.host or socket.gethostname()


def metrics_directory() -> Path | None:
    """Return the folder of this host, None where processes keep their numbers to themselves."""
    return _state.folder


def process_identity() -> str:
    """Name this process as no other has ever been named: its id and its start."""
    return _state.identity


def process_name() -> str:
    """Return the name of this process among metrics: its role and a number."""
    return _state.name or "other"


def register_process(role: str) -> str:
    """Take the lowest free name of the role (`ws-2`) for this process, and return it."""
    directory = _state.folder
    _state.name = f"{role}-1"
    if directory is not None:
        with contextlib.suppress(OSError), directory_lock(directory):
            taken = {each.name for each in live_processes() if each.identity != _state.identity}
            number = 1
            while f"{role}-{number}" in taken:
                number += 1
            _state.name = f"{role}-{number}"
            (directory / f"{_state.identity}.process").write_text(_state.name)
    return _state.name


@dataclass(frozen=True, slots=True)
class Process:
    """A living process of this host that has entered."""

    identity: str
    name: str

    @property
    def pid(self) -> int:
        """Its id."""
        return int(self.identity.partition("-")[0])


def live_processes() -> list[Process]:
    """Return the living processes of this host that have entered, by name; at least this one."""
    directory = _state.folder
    processes = [Process(_state.identity or _identity_of(os.getpid()), process_name())] if directory is None else []
    if directory is not None:
        for path in directory.glob("*.process"):
            if is_alive(path.stem):
                with contextlib.suppress(OSError):
                    processes.append(Process(path.stem, path.read_text() or "other"))
    return sorted(processes, key=lambda each: each.name)


def is_alive(identity: str) -> bool:
    """Tell whether the process that was named so still runs."""
    pid = identity.partition("-")[0]
    return pid.isdecimal() and _identity_of(int(pid)) == identity


@contextlib.contextmanager
def directory_lock(directory: Path) -> Iterator[bool]:
    """Hold the folder's lock, and say so; it gives up soon, for its holder may be frozen."""
    deadline = time.monotonic() + _LOCK_SECONDS
    with (directory / "lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.005)
            else:
                yield True
                return


def _open_files(directory: Path) -> None:
    _state.folder, _state.identity, _state.name = directory, _identity_of(os.getpid()), ""
    for kind, size in _RESERVED.items():
        descriptor = os.open(
            directory / f"{kind}_{_state.identity}.db", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)


def _reset_after_fork() -> None:
    """Give a forked child an identity and files of its own."""
    if _state.folder is not None:
        try:
            _open_files(_state.folder)
        except OSError:
            # The numbers go on in files that are not reserved.
            _state.identity = _identity_of(os.getpid())


def _identity_of(pid: int) -> str:
    """Return `<id>-<start>`; the start is empty for a process that is over."""
    if sys.platform != "linux":
        try:
            return f"{pid}-{psutil.Process(pid).create_time():.2f}"
        except psutil.Error:
            return f"{pid}-"
    try:
        # After the name, which may hold anything: the state is the first field, the start the twentieth.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return f"{pid}-"
    return f"{pid}-" if fields[0] in {b"Z", b"X"} else f"{pid}-{fields[19].decode()}"
