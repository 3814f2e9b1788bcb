"""A cache's entries in Redis. One that does not answer is left alone for a moment, and nothing depends on it."""

import hashlib
import random
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, Final, TypeVar, cast

from django.core.cache import caches
from redis.exceptions import NoScriptError, RedisError

from monitoring.dependencies import redis_deadlines
from ratelimits import counters

T = TypeVar("T")
# KEYS: an entry and its lock; ARGV: how a good entry begins, for how many milliseconds the lock is held. Returns
# the entry, else 1 for whoever is to make it and 0 while somebody else is.
_GET_OR_LOCK: Final = """
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, #ARGV[1]) == ARGV[1] then return found end
return redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) and 1 or 0
"""
_GET_OR_LOCK_SHA1: Final = hashlib.sha1(_GET_OR_LOCK.encode(), usedforsecurity=False).hexdigest()
_UNLINK_BATCH: Final = 1000


class RedisStore:
    """Where one cache keeps its entries; keys are whole ones, and None says that Redis does not answer."""

    def __init__(
        self, alias: str, breaker: counters.CircuitBreaker | None, on_unavailable: Callable[[], None]
    ) -> None:
        """Ask the Redis of one of Django's caches; `unanswered` is called where it does not answer."""
        self._alias, self._breaker, self._on_unavailable = alias, breaker, on_unavailable

    def get(self, key: str) -> bytes | None:
        """Return an entry, None also where there is none."""
        return self._call(lambda redis: redis.get(key))

    def get_or_lock(self, key: str, lock: str, *, required_prefix: bytes, milliseconds: int) -> bytes | int | None:
        """Return an entry that begins so, else whether (1 or 0) it is ours to make: one round trip.

        Ours it is for so long at most.
        """
        arguments = (2, key, lock, required_prefix, milliseconds)

        def run_script(redis: Any) -> bytes | int:
            try:
                return redis.evalsha(_GET_OR_LOCK_SHA1, *arguments)  # type: ignore[no-any-return]
            except NoScriptError:
                return redis.eval(_GET_OR_LOCK, *arguments)  # type: ignore[no-any-return]

        return self._call(run_script)

    def store(
        self,
        entries: Iterable[tuple[str, bytes]],
        ttl: int,
        *,
        long_running: bool = False,
        release_lock: str | None = None,
    ) -> bool:
        """Store entries for about `ttl` seconds, let go of a lock, and say whether it could."""

        # What was made together must not expire together.
        def run_pipeline(redis: Any) -> bool:
            pipeline = redis.pipeline(transaction=False)
            for key, raw in entries:
                pipeline.set(key, raw, px=int(ttl * 1000 * random.uniform(0.9, 1.1)))
            if release_lock is not None:
                pipeline.unlink(release_lock)
            pipeline.execute()
            return True

        return bool(self._call(run_pipeline, long_running=long_running))

    def unlink(self, *keys: str) -> None:
        """Remove entries, or a lock."""
        self._call(lambda redis: redis.unlink(*keys))

    def clear(self, prefix: str) -> int | None:
        """Remove all that begins so, and return how much that was."""

        def unlink_matching(redis: Any) -> int:
            removed = 0
            keys: list[bytes] = []
            for key in redis.scan_iter(match=f"{prefix}*", count=_UNLINK_BATCH):
                keys.append(key)
                if len(keys) == _UNLINK_BATCH:
                    removed += redis.unlink(*keys)
                    keys = []
            return removed + (redis.unlink(*keys) if keys else 0)

        return self._call(unlink_matching, long_running=True)

    def _call(self, command: Callable[[Any], T], *, long_running: bool = False) -> T | None:
        """Ask Redis; after a failure it is left alone for a second.

        `at_length`: it may answer for long as long as it goes on answering.
        """
        # The same breaker as that of the limits: one request pays for a frozen Redis once, not twice.
        breaker = self._breaker or counters.breaker
        if redis_deadlines.has_redis_budget() and breaker.allows_call():
            try:
                with nullcontext() if long_running else redis_deadlines.redis_deadline():
                    answer = command(cast("Any", caches[self._alias]).client.get_client(write=True))
            except (RedisError, OSError):
                breaker.record_result(ok=False)
            else:
                breaker.record_result(ok=True)
                return answer
        self._on_unavailable()
        return None
