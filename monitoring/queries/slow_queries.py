"""Slow queries of all processes without their values: count and duration of the 200 that were seen last.

A request only enqueues its query. A thread adds the queries up and flushes them to Redis; while Redis does not
answer it keeps the last 200 in memory.
"""

import contextlib
import hashlib
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from monitoring.sql_text import normalise_sql

_log = structlog.get_logger("monitoring.slow")
MAX_ENTRIES: Final = 200
_REDIS_KEY: Final = "freight:slow"
_TTL_SECONDS: Final = 7 * 24 * 3600
_RETRY_SECONDS: Final = 0.5
# KEYS: the index, the entry. ARGV: digest, SQL, route, count, total and max (ms), time of the last, entries to
# keep, seconds until it expires. Evicts the entries that were seen least recently.
_FLUSH_SCRIPT: Final = """
local entry = KEYS[2]
redis.call('HSET', entry, 'sql', ARGV[2], 'route', ARGV[3])
redis.call('HINCRBY', entry, 'count', ARGV[4])
redis.call('HINCRBYFLOAT', entry, 'total', ARGV[5])
if tonumber(ARGV[6]) > tonumber(redis.call('HGET', entry, 'max') or '0') then
    redis.call('HSET', entry, 'max', ARGV[6])
end
redis.call('HSET', entry, 'last', ARGV[7])
redis.call('EXPIRE', entry, ARGV[9])
redis.call('ZADD', KEYS[1], ARGV[7], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[9])
local excess = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[8])
if excess > 0 then
    for _, old in ipairs(redis.call('ZRANGE', KEYS[1], 0, excess - 1)) do
        redis.call('DEL', KEYS[1] .. ':' .. old)
    end
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, excess - 1)
end
"""


@dataclass
class SlowQuery:
    """One slow query of one route; durations in milliseconds, `last_at` in seconds since 1970."""

    sql: str
    route: str
    count: int = 0
    total_ms: float = 0.0
    max_ms: float = 0.0
    last_at: float = 0.0

    def add(self, milliseconds: float, at: float) -> None:
        """Count one more execution."""
        self.count += 1
        self.total_ms += milliseconds
        self.max_ms = max(self.max_ms, milliseconds)
        self.last_at = max(self.last_at, at)

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the report."""
        at = datetime.fromtimestamp(self.last_at, UTC).isoformat(timespec="milliseconds")
        return {
            "sql": self.sql,
            "count": self.count,
            "maxMs": round(self.max_ms, 1),
            "meanMs": round(self.total_ms / max(1, self.count), 1),
            "lastAt": at.replace("+00:00", "Z"),
            "route": self.route,
        }


class SlowQueryStore:
    """The queue, the thread that flushes it, and the entries that are not in Redis yet."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, float, str, float]] = queue.Queue(1000)
        self._unflushed: OrderedDict[tuple[str, str], SlowQuery] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: redis.Redis | None = None

    def record(self, sql: str, *, seconds: float, route: str) -> None:
        """Enqueue a slow query; where the queue is full it is dropped."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((sql, seconds, route, time.time()))
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="slow-queries", daemon=True)
                    self._thread.start()

    def entries(self) -> list[SlowQuery]:
        """Return the entries in Redis and those that this process has not flushed, the slowest first.

        Without Redis only those of this process.
        """
        stored: list[SlowQuery] = []
        with self._lock:  # so that nothing is flushed between the two
            with contextlib.suppress(redis.RedisError, OSError):
                stored = self.stored_entries()
            unflushed = [(key, replace(each)) for key, each in self._unflushed.items()]
        by_key = {(each.sql, each.route): each for each in stored}
        for key, local in unflushed:
            merged = by_key.setdefault(key, SlowQuery(local.sql, local.route))
            merged.count += local.count
            merged.total_ms += local.total_ms
            merged.max_ms, merged.last_at = max(merged.max_ms, local.max_ms), max(merged.last_at, local.last_at)
        return _slowest_first(by_key.values())

    def stored_entries(self) -> list[SlowQuery]:
        """Return the entries in Redis, the slowest first; raises RedisError, OSError."""
        connection = self._connect()
        pipeline = connection.pipeline(transaction=False)
        for key in self._stored_keys(connection):
            pipeline.hgetall(key)
        return _slowest_first(filter(None, map(_parse_entry, pipeline.execute())))

    def reset(self) -> int:
        """Delete the entries in Redis and return how many there were; raises RedisError, OSError.

        Slow queries that another process has not flushed yet, a second's at most, are stored afterwards.
        """
        connection = self._connect()
        keys = self._stored_keys(connection)
        connection.delete(_REDIS_KEY, *keys)
        return len(keys)

    def _stored_keys(self, connection: redis.Redis) -> list[str]:
        digests: Any = connection.zrevrange(_REDIS_KEY, 0, MAX_ENTRIES - 1)
        return [f"{_REDIS_KEY}:{digest.decode()}" for digest in digests]

    def _run(self) -> None:
        while True:
            first = self._queue.get() if not self._unflushed else None
            if first is not None:
                self._add(*first)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._add(*self._queue.get_nowait())
            try:
                self._flush()
            except (redis.RedisError, OSError):
                time.sleep(_RETRY_SECONDS)

    def _add(self, sql: str, seconds: float, route: str, at: float) -> None:
        key = (normalise_sql(sql), route)
        with self._lock:
            self._unflushed.setdefault(key, SlowQuery(*key)).add(seconds * 1000, at)
            self._unflushed.move_to_end(key)
            while len(self._unflushed) > MAX_ENTRIES:
                self._unflushed.popitem(last=False)

    def _flush(self) -> None:
        connection = self._connect()
        while self._unflushed:
            # An entry is here or in Redis, never in both for a reader.
            with self._lock:
                key, entry = next(iter(self._unflushed.items()))
                totals = (entry.count, entry.total_ms, entry.max_ms, entry.last_at)
                digest = hashlib.blake2b("\0".join(key).encode(), digest_size=12).hexdigest()
                keys = (_REDIS_KEY, f"{_REDIS_KEY}:{digest}")
                limits = (str(MAX_ENTRIES), str(_TTL_SECONDS))
                connection.eval(
                    _FLUSH_SCRIPT, len(keys), *keys, digest, entry.sql, entry.route, *map(str, totals), *limits
                )
                self._unflushed.pop(key, None)

    def _connect(self) -> redis.Redis:
        if self._connection is None:
            self._connection = redis.Redis.from_url(
                settings.REDIS_URL, socket_timeout=0.3, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)
            )
        return self._connection


def _slowest_first(entries: Iterable[SlowQuery]) -> list[SlowQuery]:
    return sorted(entries, key=lambda each: each.max_ms, reverse=True)


def _parse_entry(raw: dict[bytes, bytes]) -> SlowQuery | None:
    try:
        return SlowQuery(
            raw[b"sql"].decode(), raw[b"route"].decode(), int(raw[b"count"]), float(raw[b"total"]),
            float(raw[b"max"]), float(raw[b"last"]),
        )  # fmt: skip
    except (KeyError, ValueError):
        return None  # it expired between the two queries


_store = SlowQueryStore()


def _reset_after_fork() -> None:
    """Give a forked child its own store: threads and locks do not survive a fork."""
    global _store
    _store = SlowQueryStore()


os.register_at_fork(after_in_child=_reset_after_fork)


def record(sql: str, *, seconds: float, route: str) -> None:
    """Enqueue a slow query; never waits and never raises."""
    _store.record(sql, seconds=seconds, route=route)


def entries() -> list[SlowQuery]:
    """Return the slow queries of all processes, the slowest first."""
    return _store.entries()


def stored_entries() -> list[SlowQuery]:
    """Return the slow queries in Redis, the slowest first; raises RedisError, OSError where it does not answer."""
    return _store.stored_entries()


def reset() -> int:
    """Forget the slow queries of all processes and return how many there were; raises RedisError, OSError."""
    return _store.reset()
