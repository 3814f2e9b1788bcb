"""Metrics of all processes of a host: each writes its own files into one folder, which any of them can add up.

This is prometheus_client's multiprocess mode with three additions: a process is identified by its id and its start
time, so that neither a reused id nor an ended process passes for a living one; the counts of ended processes are
kept in one file, so that the folder does not grow; and the names of processes are a bounded set.
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

# Bytes allocated at once: writing to a mapped file on a full disk would end the process by SIGBUS.
_RESERVED: Final = {"histogram": 512 * 1024, "counter": 128 * 1024}
_LOCK_SECONDS: Final = 0.5


@dataclass
class _State:
    """Where this process keeps its metrics, and its identity and name."""

    folder: Path | None = None
    identity: str = ""
    name: str = ""
    host: str = ""


_state: Final = _State()


def install(folder: Path, host: str = "") -> None:
    """Keep the metrics of this process, and of those that it forks, in files under the folder.

    Call it before any metric is declared. Where the folder cannot be used, each process keeps its metrics in
    memory. Each host has its own folder below, because a process id means a process of this host also on a shared
    disk. `host` names it where the machine's name is not unique.
    """
    _state.host = host
    host_directory = folder / (host or socket.gethostname()).replace("/", "-")
    try:
        host_directory.mkdir(parents=True, exist_ok=True)
        _open_files(host_directory)
    except OSError as error:
        values.ValueClass = values.MutexValue
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        print(  # noqa: T201  no log is configured yet: this runs in the settings
            f"Metrics are of one process only, {host_directory} cannot be used: {error}", file=sys.stderr
        )
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(host_directory)  # prometheus_client reads it
    values.ValueClass = values.MultiProcessValue(process_identity)  # type: ignore[no-untyped-call]  # the library is untyped
    os.register_at_fork(after_in_child=_reset_after_fork)


def host_name() -> str:
    """Return the unique name of this host."""
    return _state.host or socket.gethostname()


def metrics_directory() -> Path | None:
    """Return the folder of this host, None where processes keep their metrics in memory."""
    return _state.folder


def process_identity() -> str:
    """Return the identity of this process, unique over time: its id and its start time."""
    return _state.identity


def process_name() -> str:
    """Return the name of this process in metrics: its role and a number, or `other`."""
    return _state.name or "other"


def has_name() -> bool:
    """Return whether this process has registered its name; it does not fork any more then."""
    return bool(_state.name)


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
    """A living process of this host that has registered."""

    identity: str
    name: str

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self.identity.partition("-")[0])


def live_processes() -> list[Process]:
    """Return the registered living processes of this host, by name; without a folder this one."""
    directory = _state.folder
    processes = [Process(_state.identity or _identity_of(os.getpid()), process_name())] if directory is None else []
    if directory is not None:
        for path in directory.glob("*.process"):
            if is_alive(path.stem):
                with contextlib.suppress(OSError):
                    processes.append(Process(path.stem, path.read_text() or "other"))
    return sorted(processes, key=lambda each: each.name)


def is_alive(identity: str) -> bool:
    """Return whether the process of this identity still runs."""
    pid = identity.partition("-")[0]
    return pid.isdecimal() and _identity_of(int(pid)) == identity


@contextlib.contextmanager
def directory_lock(directory: Path) -> Iterator[bool]:
    """Hold the lock of the folder; yields False after _LOCK_SECONDS, because its holder may be frozen."""
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
    """Give a forked child its own identity and files."""
    if _state.folder is not None:
        try:
            _open_files(_state.folder)
        except OSError:
            # Its metrics go into files that are not preallocated.
            _state.identity = _identity_of(os.getpid())


def _identity_of(pid: int) -> str:
    """Return `<id>-<start time>`; the start time is empty for a process that has ended."""
    if sys.platform != "linux":
        try:
            return f"{pid}-{psutil.Process(pid).create_time():.2f}"
        except psutil.Error:
            return f"{pid}-"
    try:
        # proc(5): behind the name, which may contain anything, the state is the first field, starttime the
        # twentieth.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return f"{pid}-"
    return f"{pid}-" if fields[0] in {b"Z", b"X"} else f"{pid}-{fields[19].decode()}"
