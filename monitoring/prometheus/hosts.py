"""Aggregates the metrics and statuses of all processes of all hosts in the background, off the request path.

Each process writes its status into the folder of its host. One of them, the leader, which holds the lock of the
file `leader`, adds up the host into `host.json` and publishes that snapshot in Redis, where it expires; every
process reads the snapshots of the other hosts. See docs/decisions/0024.
"""

import atexit
import contextlib
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import orjson
import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from monitoring.prometheus import aggregation, multiprocess
from monitoring.prometheus.samples import SampleSet

_log = structlog.get_logger("monitoring.cluster")
RECENT_SECONDS: Final = 60.0
_HISTORY_INTERVAL_SECONDS: Final = 5.0
# A host or process that has published nothing for this long is gone.
EXPIRY_SECONDS: Final = 10.0
_HOSTS_KEY: Final = "freight:hosts"
# After this many failed exchanges in a row Redis counts as gone: that shows within three seconds.
_MAX_FAILED_EXCHANGES: Final = 2

_status_providers: dict[str, Callable[[], Mapping[str, Any]]] = {}


def register_status(name: str, provider: Callable[[], Mapping[str, Any]]) -> None:
    """Add what `provider` returns once a second (JSON, made without waiting) to the status of this process."""
    _status_providers[name] = provider


@dataclass
class HostSnapshot:
    """One host a moment ago: its samples, their growth over the last minute, the statuses of its processes."""

    name: str
    at: float = 0.0
    current: SampleSet = field(default_factory=SampleSet)
    recent: SampleSet = field(default_factory=SampleSet)
    processes: list[dict[str, Any]] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """Return the snapshot as JSON; other versions of Freight read it during a deploy."""
        return orjson.dumps(
            {
                "name": self.name,
                "at": self.at,
                "now": self.current.to_json(),
                "recent": self.recent.to_json(),
                "processes": self.processes,
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
        )


class HostAggregator:
    """This process's view of all hosts; one thread calls `publish` once a second."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, SampleSet]] = deque()
        self._leader_lock: IO[str] | None = None
        self._own_snapshot = HostSnapshot(multiprocess.host_name())
        self._cached_snapshot = (0, self._own_snapshot)
        self._other_hosts: list[HostSnapshot] = []
        # Partial until the first exchange succeeds.
        self._failed_exchanges = _MAX_FAILED_EXCHANGES
        self._connection: redis.Redis | None = None
        self._ticks = 0

    # -- reading --------------------------------------------------------------------------------------------

    def snapshots(self) -> list[HostSnapshot]:
        """Return this host, and the others whose snapshots have not expired."""
        return [self.own_snapshot(), *self._other_hosts]

    @property
    def is_partial(self) -> bool:
        """Whether other hosts may be missing, because Redis does not answer."""
        return self._failed_exchanges >= _MAX_FAILED_EXCHANGES

    @property
    def is_leader(self) -> bool:
        """Whether this process adds up and publishes its host."""
        return self._leader_lock is not None or multiprocess.metrics_directory() is None

    def own_snapshot(self) -> HostSnapshot:
        """Return this host as its leader wrote it, else as this process alone knows it."""
        if self._leader_lock is None and (directory := multiprocess.metrics_directory()) is not None:
            with contextlib.suppress(OSError, ValueError, KeyError):
                snapshot = self._read_snapshot(directory / "host.json")
                if time.time() - snapshot.at < EXPIRY_SECONDS:
                    return snapshot
        if not self._own_snapshot.at:
            self._aggregate()
        return self._own_snapshot

    def _read_snapshot(self, path: Path) -> HostSnapshot:
        modified_at = path.stat().st_mtime_ns
        cached_at, snapshot = self._cached_snapshot
        if cached_at != modified_at:
            snapshot = HostSnapshot.from_bytes(path.read_bytes())
            self._cached_snapshot = modified_at, snapshot
        return snapshot

    def current_samples(self) -> SampleSet:
        """Return the samples of all hosts, those of this one as they are now."""
        samples = SampleSet.from_families(aggregation.collect_families())
        for host in self._other_hosts:
            samples = samples.plus(host.current)
        return samples

    def recent_samples(self) -> SampleSet:
        """Return the growth of the samples of all hosts over the last minute."""
        own, *others = self.snapshots()
        samples = own.recent
        for host in others:
            samples = samples.plus(host.recent)
        return samples

    def process_statuses(self) -> list[dict[str, Any]]:
        """Return the statuses of all living processes, by host and name."""
        return [status for host in self.snapshots() for status in host.processes]

    # -- publishing -----------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Write this process's status; every other second publish the host and read the others."""
        self._ticks += 1
        directory = multiprocess.metrics_directory()
        status = _process_status()
        if directory is not None:
            _write_atomically(
                directory / f"{multiprocess.process_identity()}.json", orjson.dumps(status, default=str)
            )
        if self._ticks % 2 == 0 and not self._failed_exchanges:
            return
        if self._acquire_leadership(directory):
            self._aggregate()
            if directory is not None:
                _write_atomically(directory / "host.json", self._own_snapshot.to_bytes())
        self._exchange_snapshots()

    def _acquire_leadership(self, directory: Path | None) -> bool:
        if directory is None or self.is_leader:
            return True
        lock_file = (directory / "leader").open("a")
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.close()
            return False
        self._leader_lock = lock_file  # held until this process ends, however it does
        atexit.register(lock_file.close)
        return True

    def _aggregate(self) -> None:
        current, clock = SampleSet.from_families(aggregation.collect_families()), time.monotonic()
        if not self._history or clock - self._history[-1][0] >= _HISTORY_INTERVAL_SECONDS:
            self._history.append((clock, current))
        while len(self._history) > 1 and clock - self._history[1][0] >= RECENT_SECONDS:
            self._history.popleft()
        started, previous = self._history[0]
        if previous is current:  # the first sample: its growth is since the processes started
            previous = SampleSet()
        self._own_snapshot = HostSnapshot(
            multiprocess.host_name(),
            time.time(),
            current,
            current.growth_since(previous, seconds=max(clock - started, 1.0)),
            _local_statuses(),
        )

    def _exchange_snapshots(self) -> None:
        """Publish the snapshot of this host, where it is the leader, and read those of the others."""
        own_name = self._own_snapshot.name
        try:
            # Its stubs do not tell synchronous replies from awaitable ones.
            self._connection = self._connection or _connect()
            connection: Any = self._connection
            pipeline = connection.pipeline(transaction=False)
            if self.is_leader:
                pipeline.set(
                    f"{_HOSTS_KEY}:{own_name}", self._own_snapshot.to_bytes(), px=int(EXPIRY_SECONDS * 1000)
                )
                pipeline.sadd(_HOSTS_KEY, own_name)
                pipeline.execute()
            members = connection.smembers(_HOSTS_KEY)
            names = sorted(name.decode() for name in members if name.decode() != own_name)
            raws = connection.mget([f"{_HOSTS_KEY}:{name}" for name in names]) if names else []
            for name, raw in zip(names, raws, strict=True):
                if raw is None:
                    connection.srem(_HOSTS_KEY, name)
            self._other_hosts = [HostSnapshot.from_bytes(raw) for raw in raws if raw is not None]
        except (redis.RedisError, OSError, ValueError, KeyError) as error:
            self._failed_exchanges += 1
            if self._failed_exchanges == _MAX_FAILED_EXCHANGES:
                _log.warning("other hosts cannot be read", error=repr(error))
            if self.is_partial:
                self._other_hosts = []
        else:
            self._failed_exchanges = 0


def _process_status() -> dict[str, Any]:
    return {
        "process": multiprocess.process_name(),
        "host": multiprocess.host_name(),
        "pid": os.getpid(),
        "at": time.time(),
    } | {name: provider() for name, provider in _status_providers.items()}


def _local_statuses() -> list[dict[str, Any]]:
    directory = multiprocess.metrics_directory()
    if directory is None:
        return [_process_status()]
    statuses = []
    for member in multiprocess.live_processes():
        with contextlib.suppress(OSError, ValueError):
            status = orjson.loads((directory / f"{member.identity}.json").read_bytes())
            if time.time() - status["at"] < EXPIRY_SECONDS:
                statuses.append(status)
    return statuses


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _connect() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )
