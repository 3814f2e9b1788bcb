"""Aggregates the metrics and statuses of all processes of all hosts in the background, off the request path.

Each process writes its status into the folder of its host. One of them, the leader, adds up the host into
`host.json` and publishes that snapshot in Redis, where it expires; every process reads the snapshots of the other
hosts. See docs/decisions/0024.
"""

import contextlib
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from monitoring.prometheus import aggregation, multiprocess, snapshots
from monitoring.prometheus.leadership import Leadership
from monitoring.prometheus.samples import SampleSet
from monitoring.prometheus.snapshots import HostSnapshot

_log = structlog.get_logger("monitoring.cluster")
RECENT_SECONDS: Final = 60.0
_HISTORY_INTERVAL_SECONDS: Final = 5.0
# A host or process that has published nothing for this long is gone.
EXPIRY_SECONDS: Final = 10.0
# The leader writes every other second; where it has not for this long, another process stands in for it.
_OVERDUE_SECONDS: Final = 5.0
_SNAPSHOT_FILE: Final = "host.json"
_HOSTS_KEY: Final = "freight:hosts"
# After this many failed exchanges in a row Redis counts as gone: that shows within three seconds.
_MAX_FAILED_EXCHANGES: Final = 2


class HostAggregator:
    """This process's view of all hosts; one thread calls `publish` once a second."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, SampleSet]] = deque()
        self._leadership = Leadership()
        self._own_snapshot = HostSnapshot(multiprocess.host_name())
        self._cached_snapshot = (0, self._own_snapshot)
        self._other_hosts: list[HostSnapshot] = []
        self._last_known_hosts: list[HostSnapshot] = []
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
        return self._leadership.rank > 0 or multiprocess.metrics_directory() is None

    @property
    def stands_in(self) -> bool:
        """Whether this process leads because the leader is frozen."""
        return self._leadership.rank > 1

    def own_snapshot(self) -> HostSnapshot:
        """Return this host as its leader wrote it, else as this process alone knows it."""
        if not self.is_leader and (snapshot := self._written_snapshot(EXPIRY_SECONDS)) is not None:
            return snapshot
        if not self._own_snapshot.at:
            self._aggregate()
        return self._own_snapshot

    def _written_snapshot(self, seconds: float) -> HostSnapshot | None:
        """Return this host as its leader has written it within the last `seconds`."""
        directory = multiprocess.metrics_directory()
        with contextlib.suppress(OSError, ValueError, KeyError):
            path = (directory or Path()) / _SNAPSHOT_FILE
            modified_at = path.stat().st_mtime_ns
            cached_at, snapshot = self._cached_snapshot
            if cached_at != modified_at:
                snapshot = HostSnapshot.from_bytes(path.read_bytes())
                self._cached_snapshot = modified_at, snapshot
            if time.time() - snapshot.at < seconds:
                return snapshot
        return None

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
        """Return the statuses of all living processes, by host and name; those of this host as they are now."""
        others = (status for host in self._other_hosts for status in host.processes)
        return [*snapshots.local_statuses(), *others]

    def crashes(self) -> list[dict[str, Any]]:
        """Return the processes of all hosts that ended without saying so in the last minutes."""
        return [*snapshots.local_crashes(), *(crash for host in self._other_hosts for crash in host.crashes)]

    def last_known_hosts(self) -> list[HostSnapshot]:
        """Return the other hosts as they were when Redis last answered."""
        return self._last_known_hosts

    # -- publishing -----------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Write this process's status; every other second publish the host and read the others."""
        self._ticks += 1
        directory = multiprocess.metrics_directory()
        if directory is not None:
            snapshots.write_own_status(directory)
        if self._ticks % 2 == 0 and not self._failed_exchanges:
            return
        if self._leads(directory):
            self._aggregate()
            if directory is not None:
                with contextlib.suppress(OSError):  # a full disk: each process then leads, for itself
                    snapshots.write_atomically(directory / _SNAPSHOT_FILE, self._own_snapshot.to_bytes())
        self._exchange_snapshots()

    def _leads(self, directory: Path | None) -> bool:
        if directory is None:
            return True
        overdue = _seconds_since_written(directory / _SNAPSHOT_FILE) > _OVERDUE_SECONDS
        if self._leadership.rank > 1 and not overdue and (written := self._written_snapshot(_OVERDUE_SECONDS)):
            self._leadership.yield_to(written.rank)
        return self._leadership.acquire(directory, overdue=overdue)

    def _aggregate(self) -> None:
        current, clock = SampleSet.from_families(aggregation.collect_families()), time.monotonic()
        if not self._history and (earlier := self._written_snapshot(RECENT_SECONDS)) is not None:
            # A new leader goes on from where the last one ended.
            self._history.append((clock - (time.time() - earlier.at), earlier.current))
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
            snapshots.local_statuses(),
            snapshots.local_crashes(),
            self._leadership.rank,
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
            self._last_known_hosts = self._other_hosts
        except (redis.RedisError, OSError, ValueError, KeyError) as error:
            self._failed_exchanges += 1
            if self._failed_exchanges == _MAX_FAILED_EXCHANGES:
                _log.warning("other hosts cannot be read", error=repr(error))
            if self.is_partial:
                self._other_hosts = []
        else:
            self._failed_exchanges = 0


def read_hosts() -> list[HostSnapshot]:
    """Return what the hosts have published in the last seconds, by name, for a command that is no process of them.

    Raises RedisError, OSError where Redis does not answer.
    """
    with _connect() as connection:
        client: Any = connection
        names = sorted(name.decode() for name in client.smembers(_HOSTS_KEY))
        raws = client.mget([f"{_HOSTS_KEY}:{name}" for name in names]) if names else []
    return [HostSnapshot.from_bytes(raw) for raw in raws if raw is not None]


def _seconds_since_written(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def _connect() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )
