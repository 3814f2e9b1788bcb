"""The cache under django-ratelimit: one round trip to Redis a count, and a count of its own when Redis is gone."""

import threading
import time
from typing import Any, Final

import structlog
from django_redis.cache import RedisCache
from redis.exceptions import RedisError

_log = structlog.get_logger("ratelimits")
# How long Redis is left alone after a failure; one request then tries again.
RETRY_SECONDS: Final = 1.0
_MOST_LOCAL_KEYS: Final = 50_000


class Breaker:
    """Keeps a failing Redis from costing every request its timeout; the counters and the cache share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed_at = 0.0

    def may_try(self) -> bool:
        """This will say whether to ask Redis; while it is failing, one caller a second gets a yes."""
        now = time.monotonic()
        with self._lock:
            if not self._closed_at:
                return True
            if now < self._closed_at:
                return False
            self._closed_at = now + RETRY_SECONDS
            return True

    def report(self, *, ok: bool) -> None:
        """This will note how the try went."""
        with self._lock:
            was_open = bool(self._closed_at)
            self._closed_at = 0.0 if ok else time.monotonic() + RETRY_SECONDS
        if was_open == ok:
            _log.warning("Redis answers again" if ok else "Redis does not answer: this process counts limits alone")


class LocalCounts:
    """Counts of this process alone, for as long as Redis is gone; bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    def count(self, key: str, seconds: float) -> int:
        """This will return how often the key has been counted, this time included."""
        now = time.monotonic()
        with self._lock:
            if len(self._counts) >= _MOST_LOCAL_KEYS:
                self._counts = {each: kept for each, kept in self._counts.items() if kept[1] > now}
            if len(self._counts) >= _MOST_LOCAL_KEYS:
                # A flood of keys: forget the oldest half and not everybody's count.
                self._counts = dict(list(self._counts.items())[_MOST_LOCAL_KEYS // 2 :])
            count, ends = self._counts.get(key, (0, 0.0))
            count, ends = (count + 1, ends) if ends > now else (1, now + seconds)
            self._counts[key] = (count, ends)
            return count


breaker = Breaker()
_local = LocalCounts()


class CounterCache(RedisCache):  # type: ignore[misc]  # the library's class is only partly typed
    """Answers the two calls of `django_ratelimit.core.get_usage` from one count.

    `get_usage` adds a key and, where it is there already, increments it: `add` counts at once, and the
    `incr` that follows in the same thread hands that count out.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._counted = threading.local()

    def add(self, key: str, value: int, timeout: float | None = None, version: int | None = None) -> bool:
        """This will count, and say whether this was the first time in the window of `timeout` seconds."""
        count = self._count(str(self.client.make_key(key, version=version)), int(timeout or 1))
        if count == value:
            return True
        self._counted.last = count
        return False

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """This will return what `add` has counted."""
        return int(self._counted.last)

    def _count(self, key: str, seconds: int) -> int:
        if breaker.may_try():
            try:
                pipeline = self.client.get_client(write=True).pipeline(transaction=False)
                # The key names its window, so a later expiry can only be too long, never wrong.
                count = int(pipeline.incr(key).expire(key, seconds).execute()[0])
            except (RedisError, OSError):
                breaker.report(ok=False)
            else:
                breaker.report(ok=True)
                return count
        return _local.count(key, seconds)
