"""Counting: one round trip to Redis for all that a request counts; counts of this process when Redis is gone."""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.cache.backends.base import BaseCache
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from monitoring.dependencies import redis_deadlines

_log = structlog.get_logger("ratelimits")
# How long Redis is left alone after a failure; one request then tries again.
RETRY_SECONDS: Final = 1.0
# Which keys are the busiest is kept for slots of a quarter of an hour, and of so many keys at least.
SLOT_SECONDS: Final = 900
_MAX_TOP_KEYS: Final = 1000
_MAX_LOCAL_KEYS: Final = 50_000
_FIXED_KEYS: Final = 3
# KEYS: totals, busiest keys, busiest refused keys, then a counter each; ARGV: the seconds of a slot, how many
# busiest keys to keep, then of each counter its seconds, limit, policy and name. A flood of keys must not fill the
# memory: those that were seen least are forgotten.
_SCRIPT: Final = """
local function note(set, member)
    if redis.call('ZINCRBY', set, 1, member) == '1' then
        local size = redis.call('ZCARD', set)
        if size == 1 then redis.call('EXPIRE', set, ARGV[1] * 2) end
        if size > ARGV[2] * 2 then redis.call('ZREMRANGEBYRANK', set, 0, size - ARGV[2] - 1) end
    end
end
local counts = {}
for i = 4, #KEYS do
    local at = 3 + (i - 4) * 4
    local count = redis.call('INCR', KEYS[i])
    if count == 1 then redis.call('EXPIRE', KEYS[i], ARGV[at]) end
    redis.call('HINCRBY', KEYS[1], ARGV[at + 2] .. ':hits', 1)
    note(KEYS[2], ARGV[at + 3])
    if count > tonumber(ARGV[at + 1]) then
        redis.call('HINCRBY', KEYS[1], ARGV[at + 2] .. ':rejections', 1)
        note(KEYS[3], ARGV[at + 3])
    end
    counts[#counts + 1] = count
end
return counts
"""
_SCRIPT_SHA1: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class CounterIncrement:
    """Something to be counted: in which counter, for how many seconds, and against which limit of whom."""

    counter: str
    seconds: int
    policy: str
    most: int
    key: str

    @property
    def name(self) -> str:
        """Policy and key, as the list of the busiest has them."""
        return f"{self.policy} {self.key}"


class CircuitBreaker:
    """Keeps a failing Redis from costing every request its timeout; the counters and the cache share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retry_at = 0.0

    def allows_call(self) -> bool:
        """Say whether to ask Redis; while it is failing, one caller a second gets a yes."""
        if not self._retry_at:
            return True
        now = time.monotonic()
        with self._lock:
            if not self._retry_at:
                return True
            if now < self._retry_at:
                return False
            self._retry_at = now + RETRY_SECONDS
            return True

    def record_result(self, *, ok: bool) -> None:
        """Note how the try went."""
        if ok and not self._retry_at:
            return
        with self._lock:
            was_open = bool(self._retry_at)
            self._retry_at = 0.0 if ok else time.monotonic() + RETRY_SECONDS
        if was_open == ok:
            _log.warning("Redis answers again" if ok else "Redis does not answer: this process counts limits alone")


class LocalCounters:
    """Counts of this process alone, for as long as Redis is gone; bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float, str, int]] = {}

    def increment(self, key: str, seconds: float, *, name: str = "", most: int = 0) -> int:
        """Return how often the key has been counted, this time included."""
        now = time.monotonic()
        with self._lock:
            if len(self._counts) >= _MAX_LOCAL_KEYS:
                self._counts = {each: kept for each, kept in self._counts.items() if kept[1] > now}
            if len(self._counts) >= _MAX_LOCAL_KEYS:
                # A flood of keys: forget the oldest half and not everybody's count.
                self._counts = dict(list(self._counts.items())[_MAX_LOCAL_KEYS // 2 :])
            count, ends, *_ = self._counts.get(key, (0, 0.0))
            count, ends = (count + 1, ends) if ends > now else (1, now + seconds)
            self._counts[key] = (count, ends, name, most)
            return count

    def busiest_keys(self) -> list[tuple[str, int, int]]:
        """Return names with their hits and rejections in the present windows."""
        now = time.monotonic()
        with self._lock:
            current = [each for each in self._counts.values() if each[1] > now]
        return [(name, count, max(0, count - most)) for count, _, name, most in current]


class CounterCache(BaseCache):
    """The cache under `django_ratelimit.core.get_usage`: it does not count, it notes what is to be counted.

    `get_usage` finds the window and names its counter; several of them are then counted together.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(
        self,
        key: str,
        value: Any,
        timeout: float | None = None,
        version: int | None = None,
    ) -> bool:
        """Note a counter and how long it is to live."""
        _capture.counters.append((key, int(timeout or 1)))
        return True


class _CaptureState(threading.local):
    def __init__(self) -> None:
        self.counters: list[tuple[str, int]] = []


_capture: Final = _CaptureState()
breaker = CircuitBreaker()
local_counters = LocalCounters()


@contextmanager
def capture_counters() -> Iterator[list[tuple[str, int]]]:
    """Collect the counters, and their seconds, that `get_usage` names within the block."""
    _capture.counters = []
    yield _capture.counters


def count_in_redis(increments: Sequence[CounterIncrement]) -> list[int] | None:
    """Count each once and return how often each has been counted, all in one round trip.

    None where Redis is left alone or does not answer.
    """
    if redis_deadlines.has_redis_budget() and breaker.allows_call():
        try:
            with redis_deadlines.redis_deadline():
                counts = _run_script(increments)
        except (RedisError, OSError):
            breaker.record_result(ok=False)
        else:
            breaker.record_result(ok=True)
            return counts
    return None


def count_locally(increments: Sequence[CounterIncrement]) -> list[int]:
    """Count each once in this process, and return how often it has counted each."""
    return [
        local_counters.increment(each.counter, each.seconds, name=each.name, most=each.most) for each in increments
    ]


def redis_client() -> Redis:
    """Return the client of the counters; it gives up soon."""
    return _client(settings.REDIS_URL)


def redis_key(*parts: object) -> str:
    """Return the name of a key of ours in Redis."""
    return f"freight:limits:{':'.join(map(str, parts))}"


def slot_number(at: float) -> int:
    """Return the number of the slot of the busiest keys at a time."""
    return int(at // SLOT_SECONDS)


@lru_cache
def _client(url: str) -> Redis:
    pool: Any = redis_deadlines.DeadlineConnectionPool.from_url(
        url,
        socket_connect_timeout=redis_deadlines.REDIS_CONNECT_TIMEOUT_SECONDS,
        socket_timeout=redis_deadlines.REDIS_COMMAND_TIMEOUT_SECONDS,
    )
    return Redis(connection_pool=pool)


def _run_script(increments: Sequence[CounterIncrement]) -> list[int]:
    now = slot_number(time.time())
    arguments: list[Any] = [redis_key("totals"), redis_key("top", now), redis_key("refused", now)]
    arguments += [redis_key("count", each.counter) for each in increments]
    arguments += [SLOT_SECONDS, _MAX_TOP_KEYS]
    for each in increments:
        arguments += [each.seconds, each.most, each.policy, each.name]
    client: Any = redis_client()
    keys = _FIXED_KEYS + len(increments)
    try:
        counts = client.evalsha(_SCRIPT_SHA1, keys, *arguments)
    except NoScriptError:
        counts = client.eval(_SCRIPT, keys, *arguments)
    return [int(each) for each in counts]
