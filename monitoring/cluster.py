"""What all processes of all hosts know together, without asking anybody while somebody waits for an answer.

Each process writes a note about itself into its host's folder. One process of the host, the one that holds the
folder's `leader` file, adds the host up into `host.json` and lays a copy into Redis that expires; everybody
fetches the other hosts' copies. Answers are made from what lies there: see docs/decisions/0024.
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

from monitoring import merging, shared
from monitoring.picture import Picture

_log = structlog.get_logger("monitoring.cluster")
RECENT_SECONDS: Final = 60.0
_RING_SECONDS: Final = 5.0
# A host or process that has said nothing for so long is gone.
GONE_SECONDS: Final = 10.0
_HOSTS: Final = "freight:hosts"
# So many exchanges in a row that come to nothing mean that Redis is gone: it is told within three seconds.
_MISSED_MEANS_GONE: Final = 2

_notes: dict[str, Callable[[], Mapping[str, Any]]] = {}


def contribute(name: str, note: Callable[[], Mapping[str, Any]]) -> None:
    """This will put what `note` returns (JSON, quickly made) under a name into the note of this process."""
    _notes[name] = note


@dataclass
class Host:
    """One host as it was a moment ago: its numbers, their growth over the last minute, its processes' notes."""

    name: str
    at: float = 0.0
    now: Picture = field(default_factory=Picture)
    recent: Picture = field(default_factory=Picture)
    processes: list[dict[str, Any]] = field(default_factory=list)

    def written(self) -> bytes:
        """This will return it as JSON."""
        return orjson.dumps(
            {
                "name": self.name,
                "at": self.at,
                "now": self.now.written(),
                "recent": self.recent.written(),
                "processes": self.processes,
            }
        )

    @classmethod
    def read(cls, raw: bytes) -> "Host":
        """This will read what `written` returned; raises ValueError or KeyError for anything else."""
        found = orjson.loads(raw)
        return cls(
            found["name"], found["at"], Picture.read(found["now"]), Picture.read(found["recent"]),
            found["processes"],
        )  # fmt: skip


class Cluster:
    """This process's view of all hosts; `tick` is called once a second, in a thread of its own."""

    def __init__(self) -> None:
        self._ring: deque[tuple[float, Picture]] = deque()
        self._leads: IO[str] | None = None
        self._own = Host(shared.host())
        self._read = (0, self._own)
        self._others: list[Host] = []
        # Until the first exchange nothing is known; after it, one late answer is not yet a Redis that is gone.
        self._missed = _MISSED_MEANS_GONE
        self._connection: redis.Redis | None = None
        self._ticks = 0

    # -- reading --------------------------------------------------------------------------------------------

    def hosts(self) -> list[Host]:
        """This will return this host and those others that said something lately."""
        return [self.own(), *self._others]

    @property
    def partial(self) -> bool:
        """Whether other hosts may be missing, because Redis does not answer."""
        return self._missed >= _MISSED_MEANS_GONE

    @property
    def leads(self) -> bool:
        """Whether this process speaks for its host."""
        return self._leads is not None or shared.folder() is None

    def own(self) -> Host:
        """This will return this host: as its leader wrote it down, else as this process alone knows it."""
        if self._leads is None and (where := shared.folder()) is not None:
            with contextlib.suppress(OSError, ValueError, KeyError):
                found = self._written_down(where / "host.json")
                if time.time() - found.at < GONE_SECONDS:
                    return found
        if not self._own.at:
            self._add_up()
        return self._own

    def _written_down(self, path: Path) -> Host:
        written_at = path.stat().st_mtime_ns
        at, found = self._read
        if at != written_at:
            found = Host.read(path.read_bytes())
            self._read = written_at, found
        return found

    def now(self) -> Picture:
        """This will return the numbers of all hosts, this one's to the moment."""
        found = Picture.of(merging.families())
        for host in self._others:
            found = found.plus(host.now)
        return found

    def recent(self) -> Picture:
        """This will return the growth of all hosts' numbers over the last minute."""
        own, *others = self.hosts()
        found = own.recent
        for host in others:
            found = found.plus(host.recent)
        return found

    def processes(self) -> list[dict[str, Any]]:
        """This will return the notes of all living processes, by host and name."""
        return [note for host in self.hosts() for note in host.processes]

    # -- keeping it up to date ------------------------------------------------------------------------------

    def tick(self) -> None:
        """This will write this process's note and, every other second, what the host has to say."""
        self._ticks += 1
        where = shared.folder()
        note = _note()
        if where is not None:
            _write(where / f"{shared.identity()}.json", orjson.dumps(note, default=str))
        if self._ticks % 2 == 0 and not self._missed:
            return
        if self._may_lead(where):
            self._add_up()
            if where is not None:
                _write(where / "host.json", self._own.written())
        self._exchange()

    def _may_lead(self, where: Path | None) -> bool:
        if where is None or self.leads:
            return True
        file = (where / "leader").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._leads = file  # held until this process ends, however it does
        atexit.register(file.close)
        return True

    def _add_up(self) -> None:
        now, clock = Picture.of(merging.families()), time.monotonic()
        if not self._ring or clock - self._ring[-1][0] >= _RING_SECONDS:
            self._ring.append((clock, now))
        while len(self._ring) > 1 and clock - self._ring[1][0] >= RECENT_SECONDS:
            self._ring.popleft()
        began, before = self._ring[0]
        if before is now:  # nothing older is known yet: since the processes began
            before = Picture()
        self._own = Host(
            shared.host(), time.time(), now, now.since(before, seconds=max(clock - began, 1.0)), _own_notes()
        )

    def _exchange(self) -> None:
        """This will lay this host's copy into Redis and fetch the others'."""
        own = self._own.name
        try:
            connection = self._connection = self._connection or _connect()
            pipeline = connection.pipeline(transaction=False)
            if self.leads:
                pipeline.set(f"{_HOSTS}:{own}", self._own.written(), px=int(GONE_SECONDS * 1000))
                pipeline.sadd(_HOSTS, own)
                pipeline.execute()
            found = connection.smembers(_HOSTS)
            names = sorted(name.decode() for name in found if name.decode() != own)  # type: ignore[union-attr]
            raws = connection.mget([f"{_HOSTS}:{name}" for name in names]) if names else []
            for name, raw in zip(names, raws, strict=True):  # type: ignore[arg-type]
                if raw is None:
                    connection.srem(_HOSTS, name)
            self._others = [Host.read(raw) for raw in raws if raw is not None]  # type: ignore[union-attr]
        except (redis.RedisError, OSError, ValueError, KeyError) as error:
            self._missed += 1
            if self._missed == _MISSED_MEANS_GONE:
                _log.warning("other hosts are out of sight", error=repr(error))
            if self.partial:
                self._others = []
        else:
            self._missed = 0


def _note() -> dict[str, Any]:
    return {
        "process": shared.name(),
        "host": shared.host(),
        "pid": os.getpid(),
        "at": time.time(),
    } | {name: note() for name, note in _notes.items()}


def _own_notes() -> list[dict[str, Any]]:
    where = shared.folder()
    if where is None:
        return [_note()]
    found = []
    for member in shared.members():
        with contextlib.suppress(OSError, ValueError):
            note = orjson.loads((where / f"{member.identity}.json").read_bytes())
            if time.time() - note["at"] < GONE_SECONDS:
                found.append(note)
    return found


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(path)


def _connect() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )
