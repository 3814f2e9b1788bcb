"""Which processes of this host run, when each was last alive, and which ended without saying so.

A registration is an empty file in the folder of the host, `<name>@<identity>.process`: its name says who it is, its
modification time is the last heartbeat. Both can be written on a full disk. A process that ends in order removes
it; a process that finds the registration of a dead one renames it to `.ended`, which is kept for a while.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from monitoring.prometheus import multiprocess

_NAME: Final = re.compile(r"[a-z]+-[A-Za-z0-9._-]{1,40}")
# Crashes are shown for this long.
CRASH_SECONDS: Final = 600.0
# A registration whose last heartbeat is older was left by a machine that went down, not by a crash of now.
_STALE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Registration:
    """A process of this host; `heartbeat_at` is when it was last known to be alive, in seconds since 1970."""

    identity: str
    name: str
    heartbeat_at: float

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self.identity.partition("-")[0])

    @property
    def role(self) -> str:
        """What its name begins with."""
        return role_of(self.name)

    @property
    def heartbeat_age(self) -> float:
        """For how many seconds it has not been heard of."""
        return max(0.0, time.time() - self.heartbeat_at)


def role_of(name: str) -> str:
    """Return the role of a process by its name: `api` of `api-1`."""
    return name.partition("-")[0]


def is_name_of(role: str, name: str) -> bool:
    """Return whether a process of the role may have the name: the role, a hyphen, and what tells it from others."""
    return role_of(name) == role and _NAME.fullmatch(name) is not None


def register(role: str, name: str = "") -> str:
    """Register this process under a name, by default the lowest free one of its role (`ws-2`), and return it."""
    directory = multiprocess.metrics_directory()
    multiprocess.set_process_name(name or f"{role}-1")
    if directory is not None:
        with contextlib.suppress(OSError), multiprocess.directory_lock(directory):
            if not name:
                taken = {each.name for each in living()}
                name = next(each for each in (f"{role}-{number}" for number in count(1)) if each not in taken)
            multiprocess.set_process_name(name)
            _own_file(directory).touch()
    return multiprocess.process_name()


def unregister() -> None:
    """Remove the registration of this process, because it ends in order."""
    directory = multiprocess.metrics_directory()
    if directory is not None and multiprocess.has_name():
        _own_file(directory).unlink(missing_ok=True)


def record_heartbeat(at: float) -> None:
    """Record that this process was alive at a time, in seconds since 1970."""
    directory = multiprocess.metrics_directory()
    if directory is None or not multiprocess.has_name():
        return
    with contextlib.suppress(OSError):
        try:
            os.utime(_own_file(directory), (at, at))
        except FileNotFoundError:  # it could not be created, or the folder was emptied
            _own_file(directory).touch()


def living() -> list[Registration]:
    """Return the living processes of this host, by name; without a folder this one."""
    directory = multiprocess.metrics_directory()
    if directory is None:
        return [Registration(multiprocess.identity_of(os.getpid()), multiprocess.process_name(), time.time())]
    return sorted(
        (each for each in _read(directory, "process") if multiprocess.is_alive(each.identity)),
        key=lambda each: each.name,
    )


def crashed() -> list[Registration]:
    """Return the processes of this host that ended without saying so in the last CRASH_SECONDS, oldest first."""
    directory = multiprocess.metrics_directory()
    if directory is None:
        return []
    recent = (each for each in _read(directory, "ended") if each.heartbeat_age < CRASH_SECONDS)
    return sorted(recent, key=lambda each: each.heartbeat_at)


def collect_crashed() -> list[Registration]:
    """Mark as ended the processes that ended without saying so since the last call; return those of just now."""
    directory = multiprocess.metrics_directory()
    if directory is None:
        return []
    newly_crashed = []
    with contextlib.suppress(OSError):
        for each in _read(directory, "process"):
            path = directory / f"{each.name}@{each.identity}.process"
            if multiprocess.is_alive(each.identity):
                continue
            if each.heartbeat_age > _STALE_SECONDS:
                path.unlink(missing_ok=True)
            else:
                path.rename(path.with_suffix(".ended"))
                newly_crashed.append(each)
        for each in _read(directory, "ended"):
            if each.heartbeat_age > CRASH_SECONDS:
                (directory / f"{each.name}@{each.identity}.ended").unlink(missing_ok=True)
    return newly_crashed


def _own_file(directory: Path) -> Path:
    return directory / f"{multiprocess.process_name()}@{multiprocess.process_identity()}.process"


def _read(directory: Path, suffix: str) -> Iterator[Registration]:
    for path in directory.glob(f"*@*.{suffix}"):
        name, _, identity = path.name.removesuffix(f".{suffix}").partition("@")
        with contextlib.suppress(OSError):  # it has just ended
            yield Registration(identity, name, path.stat().st_mtime)
