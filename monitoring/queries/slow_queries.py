"""Slow queries of all processes: their text without any value, how often, how long; the 200 that were seen last.

A request only puts what it saw into a queue. A thread adds it up and carries it into Redis; while Redis is gone
it keeps what it has, bounded too.
"""

import contextlib
import hashlib
import os
import queue
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

_log = structlog.get_logger("monitoring.queries.slow_queries")
MAX_ENTRIES: Final = 200
_MAX_SQL_LENGTH: Final = 4000
_REDIS_KEY: Final = "freight:slow"
_TTL_SECONDS: Final = 7 * 24 * 3600
_RETRY_SECONDS: Final = 0.5
# What stands for a value: Django's placeholder, a number, a string, a dollar-quoted string.
_LITERALS: Final = re.compile(
    r"%s|%\(\w+\)s|'(?:[^']|'')*'|\$\$.*?\$\$|(?<![\w.\"$])\d+(?:\.\d+)?(?![\w\"])", re.DOTALL
)
_COMMENTS: Final = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_LISTS: Final = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS: Final = re.compile(r"(\(\?\))(?:\s*,\s*\(\?\))+")
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
    """One slow query, from one route; times in milliseconds, `last_at` in seconds since 1970."""

    sql: str
    route: str
    count: int = 0
    total_ms: float = 0.0
    max_ms: float = 0.0
    last_at: float = 0.0

    def add(self, milliseconds: float, at: float) -> None:
        """Count it once more."""
        self.count += 1
        self.total_ms += milliseconds
        self.max_ms = max(self.max_ms, milliseconds)
        self.last_at = max(self.last_at, at)

    def to_json(self) -> dict[str, Any]:
        """Return it as reports show it."""
        at = datetime.fromtimestamp(self.last_at, UTC).isoformat(timespec="milliseconds")
        return {
            "sql": self.sql,
            "count": self.count,
            "maxMs": round(self.max_ms, 1),
            "meanMs": round(self.total_ms / max(1, self.count), 1),
            "lastAt": at.replace("+00:00", "Z"),
            "route": self.route,
        }


def normalise_sql(sql: str) -> str:
    """Return the query on one line with `?` in the place of every value."""
    stripped = " ".join(_LITERALS.sub("?", _COMMENTS.sub(" ", sql)).split())
    return _ROWS.sub(r"\1", _LISTS.sub("(?)", stripped))[:_MAX_SQL_LENGTH]


class SlowQueryStore:
    """The thread, its queue, and what could not be carried into Redis yet."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, float, str, float]] = queue.Queue(1000)
        self._unflushed: OrderedDict[tuple[str, str], SlowQuery] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: redis.Redis | None = None

    def record(self, sql: str, *, seconds: float, route: str) -> None:
        """Hand a slow query over; where too many come at once it is dropped."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((sql, seconds, route, time.time()))
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="slow-queries", daemon=True)
                    self._thread.start()

    def entries(self) -> list[SlowQuery]:
        """Return what all processes have carried in and this one still holds, the worst first."""
        by_key: dict[tuple[str, str], SlowQuery] = {}
        with contextlib.suppress(redis.RedisError, OSError):
            connection = self._connect()
            digests: Any = connection.zrevrange(_REDIS_KEY, 0, MAX_ENTRIES - 1)
            pipeline = connection.pipeline(transaction=False)
            for digest in digests:
                pipeline.hgetall(f"{_REDIS_KEY}:{digest.decode()}")
            for raw in pipeline.execute() if digests else []:
                if entry := _parse_entry(raw):
                    by_key[entry.sql, entry.route] = entry
        with self._lock:
            unflushed = list(self._unflushed.items())
        for key, local in unflushed:
            merged = by_key.setdefault(key, SlowQuery(local.sql, local.route))
            merged.count += local.count
            merged.total_ms += local.total_ms
            merged.max_ms, merged.last_at = max(merged.max_ms, local.max_ms), max(merged.last_at, local.last_at)
        return sorted(by_key.values(), key=lambda each: each.max_ms, reverse=True)

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
            with self._lock:
                key, entry = next(iter(self._unflushed.items()))
                totals = (entry.count, entry.total_ms, entry.max_ms, entry.last_at)
            digest = hashlib.blake2b("\0".join(key).encode(), digest_size=12).hexdigest()
            connection.eval(
                _FLUSH_SCRIPT, 2, _REDIS_KEY, f"{_REDIS_KEY}:{digest}", digest, entry.sql, entry.route, *map(str, totals), str(MAX_ENTRIES),
                str(_TTL_SECONDS),
            )  # fmt: skip
            with self._lock:
                self._unflushed.pop(key, None)

    def _connect(self) -> redis.Redis:
        if self._connection is None:
            self._connection = redis.Redis.from_url(
                settings.REDIS_URL, socket_timeout=0.3, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)
            )
        return self._connection


def _parse_entry(raw: dict[bytes, bytes]) -> SlowQuery | None:
    try:
        return SlowQuery(
            raw[b"sql"].decode(), raw[b"route"].decode(), int(raw[b"count"]), float(raw[b"total"]),
            float(raw[b"max"]), float(raw[b"last"]),
        )  # fmt: skip
    except (KeyError, ValueError):
        return None  # it expired between the two questions


_store = SlowQueryStore()


def _reset_after_fork() -> None:
    """Give a forked child a store of its own: threads and locks do not cross a fork."""
    global _store
    _store = SlowQueryStore()


os.register_at_fork(after_in_child=_reset_after_fork)


def record(sql: str, *, seconds: float, route: str) -> None:
    """Note a slow query; it returns at once and never raises."""
    _store.record(sql, seconds=seconds, route=route)


def entries() -> list[SlowQuery]:
    """Return the slow queries of all processes, the worst first."""
    return _store.entries()
