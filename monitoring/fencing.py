"""Takes a server that hangs out of the way: its unix socket is renamed, so that it refuses instead of being silent.

A proxy passes over a server that refuses, at once and for every method; with one that is silent it waits for each
request. Each process of a host looks at the heartbeats of the others. A server that goes on puts its socket back.
"""

import contextlib
import os
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from monitoring.heartbeat import heartbeat
from monitoring.prometheus import multiprocess, registrations, snapshots

_log = structlog.get_logger("monitoring.fencing")
_SUFFIX: Final = ".hung"
_FENCE_SECONDS: Final = 2.0
# A process with a heartbeat of this age is well.
_WELL_SECONDS: Final = 1.5

_own_socket: Final[dict[str, Any]] = {}


def announce_socket(path: Path) -> None:
    """Tell the other processes of this host where this one listens; call it before it does."""
    fenced(path).unlink(missing_ok=True)
    _own_socket["path"] = str(path)
    snapshots.register_status("server", _own_status)


def fenced(path: Path) -> Path:
    """Return where the socket of a server that hangs is."""
    return path.with_name(path.name + _SUFFIX)


def update() -> None:
    """Fence the servers that hang, and put the own socket back; called every half second, whatever Redis does."""
    if heartbeat.age() > _WELL_SECONDS:
        return
    with contextlib.suppress(OSError, ValueError, KeyError):
        _unfence_own()
        processes = registrations.living()
        hung = [each for each in processes if each.heartbeat_age > _FENCE_SECONDS]
        if hung and any(each.heartbeat_age < _WELL_SECONDS and _socket_of(each) for each in processes):
            for each in hung:
                _fence(each)


def _own_status() -> dict[str, Any]:
    if "inode" not in _own_socket:
        with contextlib.suppress(OSError):
            _own_socket["inode"] = Path(_own_socket["path"]).stat().st_ino
    return _own_socket


def _unfence_own() -> None:
    if "inode" not in _own_socket:
        return
    path = Path(_own_socket["path"])
    if not path.exists() and fenced(path).exists():
        fenced(path).rename(path)
        _log.warning("socket is back: this process goes on", socket=str(path))


def _fence(process: registrations.Registration) -> None:
    socket = _socket_of(process)
    # Another process may have been started in its place, under the same path.
    if socket and Path(socket["path"]).stat().st_ino == socket["inode"]:
        Path(socket["path"]).rename(fenced(Path(socket["path"])))
        _log.error("process hangs: its socket is taken away", process=process.name, pid=process.pid)


def _socket_of(process: registrations.Registration) -> dict[str, Any]:
    """Return path and inode of the socket on which a process listens, empty where it does not."""
    directory = multiprocess.metrics_directory()
    if directory is None:
        return {}
    status: dict[str, Any] = orjson.loads((directory / f"{process.identity}.json").read_bytes())
    socket: dict[str, Any] = status.get("server", {})
    return socket if "inode" in socket and os.path.lexists(socket["path"]) else {}
