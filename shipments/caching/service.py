"""Named caches of bytes and JSON in Redis, and of stamped entries in this process too.

There are two kinds of entries. A plain one (`get`, `set`, `delete`, `get_or_set`) may be stale until its TTL ends.
A stamped one (`get_or_set_stamped`) was made from one state of the database: the reader brings the stamp of the
state that is committed now, and an entry with any other stamp is a miss. Nothing is invalidated, so no invalidation
can be missed. Without Redis everything works, slower: see docs/decisions/0011.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import orjson
from django.conf import settings

from monitoring.dependencies.breaker import CircuitBreaker, redis_breaker
from shipments import metrics
from shipments.caching.local_store import LRUStore
from shipments.caching.redis_store import RedisStore
from shipments.caching.single_flight import SingleFlight

T = TypeVar("T")
Value = bytes | str | int | float | bool | list[Any] | dict[str, Any]

STAMP_BYTES: Final = 16
# How long a reader waits for another that makes the same value before it makes the value itself.
WAIT_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.02
_LONGEST_POLL_SECONDS: Final = 0.2
_LOCAL_BYTES: Final = 8 * 1024 * 1024
_BYTES, _JSON = b"b", b"j"


class CacheUnavailable(Exception):
    """Redis does not answer: nothing was done."""


@dataclass
class CacheStats:
    """Counts of one cache in this process; `hits` includes the `local` ones."""

    hits: int = 0
    local: int = 0
    misses: int = 0
    stored: int = 0
    unavailable: int = 0

    @property
    def hit_rate(self) -> float:
        """The share of hits among all lookups, 0 to 1."""
        requests = self.hits + self.misses
        return self.hits / requests if requests else 0.0


_local: Final = LRUStore(_LOCAL_BYTES)
_single_flight: Final = SingleFlight()
_services: Final[dict[str, "CacheService"]] = {}
_RESULT_LABELS: Final = {"hits": "hit", "misses": "miss"}


def key_prefix() -> str:
    """Return the prefix of every key of these caches; sessions, counters and channel layers have others."""
    return f"{settings.CACHES['default']['KEY_PREFIX']}:cache:"


def stats_by_cache() -> dict[str, dict[str, float]]:
    """Return the counts of this process by the name of the cache."""
    return {
        name: asdict(service.stats) | {"hit_rate": service.stats.hit_rate} for name, service in _services.items()
    }


class CacheService:
    """One named cache. Values are bytes or JSON; nothing is pickled."""

    def __init__(
        self,
        name: str,
        *,
        ttl: int,
        alias: str = "default",
        breaker: CircuitBreaker = redis_breaker,
        wait: float = WAIT_SECONDS,
        max_bytes: int | None = None,
        local_bytes: int | None = None,
    ) -> None:
        """Make a cache whose entries live for about `ttl` seconds.

        A miss waits up to `wait` seconds for another reader that makes the value. Stamped entries of more than
        `max_bytes` are not stored. With `local_bytes` the cache has an in-process store of its own, of that size.
        """
        self.name, self.ttl, self.stats = name, ttl, CacheStats()
        self._wait, self._max_bytes = wait, max_bytes
        self._local = LRUStore(local_bytes) if local_bytes else _local
        self._redis_store = RedisStore(alias, breaker, lambda: self._count(unavailable=True))
        self._stats_lock = threading.Lock()
        self._request_counters = {
            result: metrics.cache_requests.labels(name, result) for result in _RESULT_LABELS.values()
        }
        _services[name] = self

    # -- plain entries ------------------------------------------------------------------------------------

    def get(self, key: str) -> Value | None:
        """Return the value, None on a miss and where Redis does not answer."""
        raw = self._redis_store.get(self._key(key))
        self._count(hits=raw is not None, misses=raw is None)
        return None if raw is None else _decode(raw)

    def set(self, key: str, value: Value, *, ttl: int | None = None) -> None:
        """Store the value for about `ttl` seconds."""
        self._store([(self._key(key), _encode(value))], ttl or self.ttl)

    def delete(self, *keys: str) -> None:
        """Remove the values."""
        self._redis_store.unlink(*map(self._key, keys))

    def get_or_set(self, key: str, make: Callable[[], Value], *, ttl: int | None = None) -> Value:
        """Return the value; on a miss `make` makes it, once for all concurrent readers."""
        value = self.get(key)
        if value is not None:
            return value
        full_key, deadline = self._key(key), time.monotonic() + self._wait
        raw, _ = _single_flight.run(
            full_key,
            lambda: self._get_or_make(full_key, b"", lambda: _encode(make()), ttl or self.ttl, deadline=deadline),
            self._wait,
        )
        return _decode(raw)

    # -- stamped entries ----------------------------------------------------------------------------------

    def get_or_set_stamped(
        self,
        key: str,
        stamp: bytes,
        make: Callable[[], bytes],
        *,
        is_current: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        """Return the entry with this stamp (STAMP_BYTES long), or make it.

        `make` returns the bytes of the stamp's state, or of a newer one where the caller does not mind.
        `is_current` tells whether bytes in this process under another stamp are what `make` would return now.
        """
        full_key = self._key(key)
        local_entry = self._local.get(full_key)
        if local_entry is not None and (
            local_entry[0] == stamp or (is_current is not None and is_current(local_entry[1]))
        ):
            if local_entry[0] != stamp:
                self._local.put(full_key, stamp, local_entry[1])
            self._count(hits=True, local=True)
            return local_entry[1]
        deadline = time.monotonic() + self._wait
        was_cached = False
        try:
            raw, was_cached = _single_flight.run(
                (full_key, stamp),
                lambda: self._get_or_make(full_key, stamp, lambda: stamp + make(), self.ttl, deadline=deadline),
                self._wait,
            )
        finally:
            self._count(hits=was_cached, misses=not was_cached)
        body = raw[STAMP_BYTES:]
        if self._fits(body):
            self._local.put(full_key, stamp, body)
        return body

    def get_local(self, key: str, stamp: bytes) -> bytes | None:
        """Return the entry with this stamp out of this process, None where it is not here. No I/O."""
        local_entry = self._local.get(self._key(key))
        if local_entry is None or local_entry[0] != stamp:
            return None
        self._count(hits=True, local=True)
        return local_entry[1]

    def set_many_stamped(self, entries: Iterable[tuple[str, bytes, bytes]]) -> bool:
        """Store stamped entries `(key, stamp, body)` in one round trip; tell whether Redis stored them."""
        return self._store(
            [(self._key(key), stamp + body) for key, stamp, body in entries], self.ttl, long_running=True
        )

    # -- both ---------------------------------------------------------------------------------------------

    def clear(self) -> int:
        """Remove every entry of every cache, and nothing else in Redis; return their number.

        Raises CacheUnavailable.
        """
        for service in _services.values():
            service._local.clear()  # noqa: SLF001  of its own class
        _local.clear()
        removed = self._redis_store.clear(key_prefix())
        if removed is None:
            raise CacheUnavailable("Redis does not answer: nothing was cleared.")
        return removed

    def _key(self, key: str) -> str:
        return f"{key_prefix()}{key}"

    def _fits(self, body: bytes) -> bool:
        return self._max_bytes is None or len(body) <= self._max_bytes

    def _get_or_make(
        self,
        key: str,
        required_prefix: bytes,
        make: Callable[[], bytes],
        ttl: int,
        *,
        deadline: float,
    ) -> tuple[bytes, bool]:
        """Return the entry with this prefix, and whether it was there at once.

        A missing one is made and stored, unless another process that holds its lock stores it before `deadline`
        (monotonic seconds).
        """
        lock = f"{key}:lock"
        milliseconds = int(self._wait * 1000)

        def get_or_lock() -> bytes | int | None:
            return self._redis_store.get_or_lock(
                key, lock, required_prefix=required_prefix, milliseconds=milliseconds
            )

        entry, pause = get_or_lock(), _POLL_SECONDS
        if isinstance(entry, bytes):
            return entry, True
        while entry == 0 and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
            entry = get_or_lock()  # the holder may have failed, or made a value that is too large to store
            if isinstance(entry, bytes):
                return entry, False
        owns_lock = entry == 1
        is_storable = False
        try:
            raw_entry = make()
            is_storable = self._fits(raw_entry)
        finally:
            # The lock only saves work: releasing it late, when another process holds it, does no harm.
            if owns_lock and not is_storable:
                self._redis_store.unlink(lock)
        if is_storable:
            self._store([(key, raw_entry)], ttl, release_lock=lock if owns_lock else None)
        return raw_entry, False

    def _store(
        self,
        entries: list[tuple[str, bytes]],
        ttl: int,
        *,
        long_running: bool = False,
        release_lock: str | None = None,
    ) -> bool:
        stored = self._redis_store.store(entries, ttl, long_running=long_running, release_lock=release_lock)
        self._count(stored=stored and len(entries))
        return stored

    def _count(self, **increments: int) -> None:
        for field, result in _RESULT_LABELS.items():
            if increments.get(field):
                self._request_counters[result].inc(increments[field])
        with self._stats_lock:
            for field, number in increments.items():
                setattr(self.stats, field, getattr(self.stats, field) + number)


def _encode(value: Value) -> bytes:
    return _BYTES + value if isinstance(value, bytes) else _JSON + orjson.dumps(value)


def _decode(raw: bytes) -> Value:
    value: Value = raw[1:] if raw[:1] == _BYTES else orjson.loads(raw[1:])
    return value
