"""Counters in Redis, one round trip for all that a request counts, and counters of this process without Redis."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from monitoring.dependencies import deadlines
from monitoring.dependencies.breaker import redis_breaker

# The busiest keys are kept for slots of a quarter of an hour: _MAX_TOP_KEYS of them at least, twice as many at
# most.
SLOT_SECONDS: Final = 900
_MAX_TOP_KEYS: Final = 1000
_MAX_LOCAL_KEYS: Final = 50_000
_FIXED_KEYS: Final = 3
# KEYS: totals, busiest keys, busiest rejected keys, then one per counter; ARGV: the seconds of a slot, the number
# of busiest keys to keep, then seconds, limit, policy, name and "1" for a shared counter of each. Returns the
# counts. A shared counter belongs to the one before it and counts only what that one lets pass: a key that floods
# does not use up what its user's other keys have. A flood of keys must not fill the memory of Redis: the least busy
# ones are evicted.
_SCRIPT: Final = """
local function note(set, member)
    if redis.call('ZINCRBY', set, 1, member) == '1' then
        local size = redis.call('ZCARD', set)
        if size == 1 then redis.call('EXPIRE', set, ARGV[1] * 2) end
        if size > ARGV[2] * 2 then redis.call('ZREMRANGEBYRANK', set, 0, size - ARGV[2] - 1) end
    end
end
local counts, refused = {}, false
for i = 4, #KEYS do
    local at = 3 + (i - 4) * 5
    local policy, member, shared = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4] == '1'
    if shared and refused then
        counts[#counts + 1] = tonumber(redis.call('GET', KEYS[i]) or 0)
    else
        local count = redis.call('INCR', KEYS[i])
        if count == 1 then redis.call('EXPIRE', KEYS[i], ARGV[at]) end
        if not shared then redis.call('HINCRBY', KEYS[1], policy .. ':hits', 1) end
        note(KEYS[2], member)
        refused = count > tonumber(ARGV[at + 1])
        if refused then
            redis.call('HINCRBY', KEYS[1], policy .. ':rejections', 1)
            note(KEYS[3], member)
        end
        counts[#counts + 1] = count
    end
end
return counts
"""
_SCRIPT_SHA1: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class CounterIncrement:
    """One increment: the counter, its lifetime in seconds, and the limit (`most`) of a key under a policy.

    A `shared` one counts only where the one before it is within its limit.
    """

    counter: str
    seconds: int
    policy: str
    most: int
    key: str
    shared: bool = False

    @property
    def name(self) -> str:
        """Policy and key, as a member of the list of the busiest keys."""
        return f"{self.policy} {self.key}"


class LocalCounters:
    """Counters of this process, used while Redis does not answer; bounded by _MAX_LOCAL_KEYS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float, str, int]] = {}

    def increment(self, key: str, seconds: float, *, name: str = "", most: int = 0) -> int:
        """Count the key once and return its count in the current window of `seconds`."""
        now = time.monotonic()
        with self._lock:
            if len(self._counts) >= _MAX_LOCAL_KEYS:
                self._counts = {each: entry for each, entry in self._counts.items() if entry[1] > now}
            if len(self._counts) >= _MAX_LOCAL_KEYS:
                # A flood of keys: evict the oldest half instead of every count.
                self._counts = dict(list(self._counts.items())[_MAX_LOCAL_KEYS // 2 :])
            count, ends, *_ = self._counts.get(key, (0, 0.0))
            count, ends = (count + 1, ends) if ends > now else (1, now + seconds)
            self._counts[key] = (count, ends, name, most)
            return count

    def count_of(self, key: str) -> int:
        """Return the count of the key in its current window, without counting."""
        with self._lock:
            count, ends, *_ = self._counts.get(key, (0, 0.0))
        return count if ends > time.monotonic() else 0

    def busiest_keys(self) -> list[tuple[str, int, int]]:
        """Return `(name, hits, rejections)` of the current windows."""
        now = time.monotonic()
        with self._lock:
            current = [each for each in self._counts.values() if each[1] > now]
        return [(name, count, max(0, count - most)) for count, _, name, most in current]


local_counters = LocalCounters()


def count_in_redis(increments: Sequence[CounterIncrement]) -> list[int] | None:
    """Count each once and return the counts in the same order, all in one round trip.

    Return None where Redis does not answer, its breaker is open, or the request has no budget left for it.
    """
    if deadlines.has_redis_budget() and redis_breaker.allows_call():
        try:
            with deadlines.redis_deadline():
                counts = _run_script(increments)
        except (RedisError, OSError) as error:
            redis_breaker.record_failure(error)
        else:
            redis_breaker.record_success()
            return counts
    return None


def count_locally(increments: Sequence[CounterIncrement]) -> list[int]:
    """Count each once in this process and return the counts in the same order."""
    counts: list[int] = []
    is_refused = False
    for each in increments:
        if each.shared and is_refused:
            counts.append(local_counters.count_of(each.counter))
            continue
        counts.append(local_counters.increment(each.counter, each.seconds, name=each.name, most=each.most))
        is_refused = counts[-1] > each.most
    return counts


def redis_client() -> Redis:
    """Return the client of the counters; its commands keep to the deadline of `deadlines.redis_deadline`."""
    return _client(settings.REDIS_URL)


def redis_key(*parts: object) -> str:
    """Return a key of the limiter in Redis."""
    return f"freight:limits:{':'.join(map(str, parts))}"


def slot_number(at: float) -> int:
    """Return the slot of the busiest keys at a time, in seconds since 1970."""
    return int(at // SLOT_SECONDS)


@lru_cache
def _client(url: str) -> Redis:
    pool: Any = deadlines.DeadlineConnectionPool.from_url(
        url,
        socket_connect_timeout=deadlines.REDIS_CONNECT_TIMEOUT_SECONDS,
        socket_timeout=deadlines.REDIS_COMMAND_TIMEOUT_SECONDS,
    )
    return Redis(connection_pool=pool)


def _run_script(increments: Sequence[CounterIncrement]) -> list[int]:
    now = slot_number(time.time())
    arguments: list[Any] = [redis_key("totals"), redis_key("top", now), redis_key("refused", now)]
    arguments += [redis_key("count", each.counter) for each in increments]
    arguments += [SLOT_SECONDS, _MAX_TOP_KEYS]
    for each in increments:
        arguments += [each.seconds, each.most, each.policy, each.name, int(each.shared)]
    client: Any = redis_client()
    keys = _FIXED_KEYS + len(increments)
    try:
        counts = client.evalsha(_SCRIPT_SHA1, keys, *arguments)
    except NoScriptError:
        counts = client.eval(_SCRIPT, keys, *arguments)
    return [int(each) for each in counts]
