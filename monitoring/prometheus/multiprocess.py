"""Metrics of all processes of a host: each writes its own files into one folder, which any of them can add up.

This is prometheus_client's multiprocess mode with three additions: a process is identified by its id and its start
time, so that neither a reused id nor an ended process passes for a living one; the counts of ended processes are
kept in one file, so that the folder does not grow; and room on the disk is reserved before it is written to.
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

from monitoring.prometheus import reserved_files

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
    memory; where its disk is full, only what finds no room there (`reserved_files`). Each host has its own folder
    below, because a process id means a process of this host also on a shared disk. `host` names it where the
    machine's name is not unique.
    """
    _state.host = host
    host_directory = folder / (host or socket.gethostname()).replace("/", "-")
    try:
        host_directory.mkdir(parents=True, exist_ok=True)
        (host_directory / "lock").touch()
    except OSError as error:
        values.ValueClass = values.MutexValue
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        print(  # noqa: T201  no log is configured yet: this runs in the settings
            f"Metrics are of one process only, {host_directory} cannot be used: {error}", file=sys.stderr
        )
        return
    _state.folder = host_directory
    _identify()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(host_directory)  # prometheus_client reads it
    reserved_files.install()
    values.ValueClass = values.MultiProcessValue(process_identity)  # type: ignore[no-untyped-call]  # the library is untyped
    os.register_at_fork(after_in_child=_identify)


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


def set_process_name(name: str) -> None:
    """Set the name of this process in metrics. Called by `registrations`."""
    _state.name = name


def is_alive(identity: str) -> bool:
    """Return whether the process of this identity still runs."""
    pid = identity.partition("-")[0]
    return pid.isdecimal() and identity_of(int(pid)) == identity


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


def _identify() -> None:
    """Give this process an identity of its own, under which its files are; a forked child has another."""
    _state.identity, _state.name = identity_of(os.getpid()), ""


def identity_of(pid: int) -> str:
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
