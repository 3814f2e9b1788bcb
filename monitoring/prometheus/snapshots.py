"""A host a moment ago, as its leader publishes it, and the statuses of its processes."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from monitoring.prometheus import multiprocess, registrations
from monitoring.prometheus.samples import SampleSet

_status_providers: Final[dict[str, Callable[[], Mapping[str, Any]]]] = {}


def register_status(name: str, provider: Callable[[], Mapping[str, Any]]) -> None:
    """Add what `provider` returns once a second (JSON, made without waiting) to the status of this process."""
    _status_providers[name] = provider


@dataclass
class HostSnapshot:
    """One host a moment ago: its samples, their growth over the last minute, the statuses of its processes.

    `crashes`: the processes that ended without saying so, with the time when each was last alive. `rank`: that of
    the leader that made the snapshot.
    """

    name: str
    at: float = 0.0
    current: SampleSet = field(default_factory=SampleSet)
    recent: SampleSet = field(default_factory=SampleSet)
    processes: list[dict[str, Any]] = field(default_factory=list)
    crashes: list[dict[str, Any]] = field(default_factory=list)
    rank: int = 1

    def to_bytes(self) -> bytes:
        """Return the snapshot as JSON; other versions of Freight read it during a deploy."""
        return orjson.dumps(
            {
                "name": self.name,
                "at": self.at,
                "now": self.current.to_json(),
                "recent": self.recent.to_json(),
                "processes": self.processes,
                "crashes": self.crashes,
                "rank": self.rank,
            }
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> "HostSnapshot":
        """Read what `to_bytes` returned; raises ValueError or KeyError for anything else."""
        document = orjson.loads(raw)
        return cls(
            document["name"],
            document["at"],
            SampleSet.from_json(document["now"]),
            SampleSet.from_json(document["recent"]),
            document["processes"],
            document.get("crashes", []),
            document.get("rank", 1),
        )


def own_status() -> dict[str, Any]:
    """Return the status of this process: who it is, and what the apps have registered."""
    return {
        "process": multiprocess.process_name(),
        "host": multiprocess.host_name(),
        "pid": os.getpid(),
        "at": time.time(),
        "heartbeatAge": 0.0,
    } | {name: provider() for name, provider in _status_providers.items()}


def write_own_status(directory: Path) -> None:
    """Write the status of this process into the folder of its host, where the disk has room for it."""
    with contextlib.suppress(OSError):
        write_atomically(
            directory / f"{multiprocess.process_identity()}.json", orjson.dumps(own_status(), default=str)
        )


def local_statuses() -> list[dict[str, Any]]:
    """Return the last status of each living process of this host, that of a frozen one, too.

    `heartbeatAge`: for how many seconds its main loop has not turned.
    """
    directory = multiprocess.metrics_directory()
    return [own_status()] if directory is None else [_status_of(each, directory) for each in registrations.living()]


def _status_of(process: registrations.Registration, directory: Path) -> dict[str, Any]:
    status: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):  # there was no room for it, or it has just ended
        status = orjson.loads((directory / f"{process.identity}.json").read_bytes())
    return {"at": process.heartbeat_at, **status} | {
        "process": process.name,
        "host": multiprocess.host_name(),
        "pid": process.pid,
        "heartbeatAge": round(process.heartbeat_age, 1),
    }


def local_crashes() -> list[dict[str, Any]]:
    """Return the processes of this host that ended without saying so in the last minutes, oldest first."""
    return [
        {"process": each.name, "host": multiprocess.host_name(), "at": each.heartbeat_at}
        for each in registrations.crashed()
    ]


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file; whoever reads it sees the old content or the new. Raises OSError on a full disk."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)
