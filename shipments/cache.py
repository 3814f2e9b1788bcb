"""Door: what has been prepared once and is asked for again, in Redis and, where it is stamped, in this process.

Two kinds of entries. A plain one (`get`, `set`, `delete`, `get_or_set`) is as true as its time to live. A
stamped one (`stamped`) is an answer made from one state of the database: the reader brings the stamp of the
state that is committed now, and an entry with any other stamp is no answer. Nothing has to be invalidated, so
nothing can be forgotten. Without Redis everything works, slower: see docs/decisions/0011.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar, cast

import orjson
from django.conf import settings

from ratelimits import counters
from shipments import metrics
from shipments.memory import Flights, Memory
from shipments.shelf import Shelf

T = TypeVar("T")
Value = bytes | str | int | float | bool | list[Any] | dict[str, Any]

STAMP_BYTES: Final = 16
# The most that anybody waits for somebody else's work before doing it himself.
WAIT_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.02
_LONGEST_POLL_SECONDS: Final = 0.2
_LOCAL_BYTES: Final = 8 * 1024 * 1024
_BYTES, _JSON = b"b", b"j"


class Unavailable(Exception):
    """Redis does not answer, so what was asked for has not been done."""


@dataclass
class Stats:
    """What one cache of this process has answered; `hits` includes the `local` ones."""

    hits: int = 0
    local: int = 0
    misses: int = 0
    stored: int = 0
    unavailable: int = 0

    @property
    def hit_rate(self) -> float:
        """The part of the questions that were answered, 0…1."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


_local: Final = Memory(_LOCAL_BYTES)
_flights: Final = Flights()
_services: Final[dict[str, "CacheService"]] = {}
_RESULTS: Final = {"hits": "hit", "misses": "miss"}


def prefix() -> str:
    """This will return how every key of ours begins; sessions, counters and channel layers have other keys."""
    default = cast("dict[str, Any]", settings.CACHES["default"])
    return f"{default['KEY_PREFIX']}:cache:"


def stats() -> dict[str, dict[str, float]]:
    """This will return the counts of this process by the name of the cache."""
    return {
        name: asdict(service.stats) | {"hit_rate": service.stats.hit_rate} for name, service in _services.items()
    }


class CacheService:
    """One named cache. Values are bytes or JSON: nothing is pickled."""

    def __init__(
        self,
        name: str,
        *,
        ttl: int,
        alias: str = "default",
        breaker: counters.CircuitBreaker | None = None,
        wait: float = WAIT_SECONDS,
        most_bytes: int | None = None,
        local_bytes: int | None = None,
    ) -> None:
        """This will make a cache; `wait` is for how many seconds somebody else's making is waited for.

        Stamped entries of more than `most_bytes` are not kept. With `local_bytes` this process keeps its own apart
        from those of other caches.
        """
        self.name, self.ttl, self.stats = name, ttl, Stats()
        self._wait, self._most_bytes = wait, most_bytes
        self._local = Memory(local_bytes) if local_bytes else _local
        self._shelf = Shelf(alias, breaker, lambda: self._count(unavailable=True))
        self._counting = threading.Lock()
        self._asked = {result: metrics.cache_requests.labels(name, result) for result in _RESULTS.values()}
        _services[name] = self

    # -- plain entries ------------------------------------------------------------------------------------

    def get(self, key: str) -> Value | None:
        """This will return the value, None where there is none or Redis does not answer."""
        raw = self._shelf.get(self._key(key))
        self._count(hits=raw is not None, misses=raw is None)
        return None if raw is None else _decoded(raw)

    def set(self, key: str, value: Value, *, ttl: int | None = None) -> None:
        """This will keep the value for about `ttl` seconds."""
        self._store([(self._key(key), _encoded(value))], ttl or self.ttl)

    def delete(self, *keys: str) -> None:
        """This will forget the values."""
        self._shelf.unlink(*map(self._key, keys))

    def get_or_set(self, key: str, make: Callable[[], Value], *, ttl: int | None = None) -> Value:
        """This will return the value; `make` makes it where it is missing, once for all who ask at that time."""
        found = self.get(key)
        if found is not None:
            return found
        full, until = self._key(key), time.monotonic() + self._wait
        raw, _ = _flights.share(
            full,
            lambda: self._make(full, b"", lambda: _encoded(make()), ttl or self.ttl, until=until),
            self._wait,
        )
        return _decoded(raw)

    # -- stamped entries ----------------------------------------------------------------------------------

    def stamped(
        self, key: str, stamp: bytes, make: Callable[[], bytes], *, still: Callable[[bytes], bool] | None = None
    ) -> bytes:
        """This will return the bytes that were made under this very stamp (16 bytes), else make them.

        `make` returns what the stamp stands for, or something newer where the caller does not mind. `still` tells
        of bytes that this process has kept under another stamp whether they are what would be made now.
        """
        full = self._key(key)
        kept = self._local.get(full)
        if kept is not None and (kept[0] == stamp or (still is not None and still(kept[1]))):
            if kept[0] != stamp:
                self._local.put(full, stamp, kept[1])
            self._count(hits=True, local=True)
            return kept[1]
        until = time.monotonic() + self._wait
        found = False
        try:
            raw, found = _flights.share(
                (full, stamp),
                lambda: self._make(full, stamp, lambda: stamp + make(), self.ttl, until=until),
                self._wait,
            )
        finally:
            self._count(hits=found, misses=not found)
        body = raw[STAMP_BYTES:]
        if self._has_room(body):
            self._local.put(full, stamp, body)
        return body

    def at_hand(self, key: str, stamp: bytes) -> bytes | None:
        """This will return what this process itself has kept under this very stamp; it waits for nothing."""
        kept = self._local.get(self._key(key))
        if kept is None or kept[0] != stamp:
            return None
        self._count(hits=True, local=True)
        return kept[1]

    def put_many(self, entries: Iterable[tuple[str, bytes, bytes]]) -> bool:
        """This will store stamped entries `(key, stamp, body)` in one round trip, and say whether it could."""
        return self._store(
            [(self._key(key), stamp + body) for key, stamp, body in entries], self.ttl, at_length=True
        )

    # -- both ---------------------------------------------------------------------------------------------

    def clear(self) -> int:
        """This will forget everything that any cache of ours holds, and nothing else; returns how many entries.

        Raises Unavailable.
        """
        for service in _services.values():
            service._local.clear()  # noqa: SLF001  one of us
        _local.clear()
        gone = self._shelf.clear(prefix())
        if gone is None:
            raise Unavailable("Redis does not answer: nothing was cleared.")
        return gone

    def _key(self, key: str) -> str:
        return f"{prefix()}{key}"

    def _has_room(self, body: bytes) -> bool:
        return self._most_bytes is None or len(body) <= self._most_bytes

    def _make(
        self,
        key: str,
        good: bytes,
        make: Callable[[], bytes],
        ttl: int,
        *,
        until: float,
    ) -> tuple[bytes, bool]:
        """This will return an entry that begins so, and whether it was there at once.

        Else it is made and stored, unless another process is at it and ends before `until`.
        """
        lock = f"{key}:lock"
        milliseconds = int(self._wait * 1000)

        def look() -> bytes | int | None:
            return self._shelf.look(key, lock, good=good, milliseconds=milliseconds)

        found, pause = look(), _POLL_SECONDS
        if isinstance(found, bytes):
            return found, True
        while found == 0 and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
            found = look()  # who led may have failed, or made what is too large to keep
            if isinstance(found, bytes):
                return found, False
        leads = found == 1
        kept = False
        try:
            made = make()
            kept = self._has_room(made)
        finally:
            # It only saves work, so a late hand that frees another's is no harm.
            if leads and not kept:
                self._shelf.unlink(lock)
        if kept:
            self._store([(key, made)], ttl, release=lock if leads else None)
        return made, False

    def _store(
        self, entries: list[tuple[str, bytes]], ttl: int, *, at_length: bool = False, release: str | None = None
    ) -> bool:
        done = self._shelf.store(entries, ttl, at_length=at_length, release=release)
        self._count(stored=done and len(entries))
        return done

    def _count(self, **more: int) -> None:
        for field, result in _RESULTS.items():
            if more.get(field):
                self._asked[result].inc(more[field])
        with self._counting:
            for field, number in more.items():
                setattr(self.stats, field, getattr(self.stats, field) + number)


def _encoded(value: Value) -> bytes:
    return _BYTES + value if isinstance(value, bytes) else _JSON + orjson.dumps(value)


def _decoded(raw: bytes) -> Value:
    found: Value = raw[1:] if raw[:1] == _BYTES else orjson.loads(raw[1:])
    return found
