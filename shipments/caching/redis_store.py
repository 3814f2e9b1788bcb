"""A cache's entries in Redis; without Redis every call returns None at once, and callers work without the cache."""

import hashlib
import random
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, Final, TypeVar, cast

from django.core.cache import caches
from redis.exceptions import NoScriptError, RedisError

from monitoring.dependencies import deadlines
from monitoring.dependencies.breaker import CircuitBreaker

T = TypeVar("T")
# KEYS: an entry and its lock; ARGV: the required prefix of the entry, the lifetime of the lock in milliseconds.
# Returns the entry, else 1 to the caller that has got the lock, and 0 while another one holds it.
_GET_OR_LOCK: Final = """
local entry = redis.call('GET', KEYS[1])
if entry and string.sub(entry, 1, #ARGV[1]) == ARGV[1] then return entry end
return redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) and 1 or 0
"""
_GET_OR_LOCK_SHA1: Final = hashlib.sha1(_GET_OR_LOCK.encode(), usedforsecurity=False).hexdigest()
_UNLINK_BATCH: Final = 1000


class RedisStore:
    """The entries of one cache, under full keys. Every method returns None where Redis does not answer."""

    def __init__(self, alias: str, breaker: CircuitBreaker, on_unavailable: Callable[[], None]) -> None:
        """Use the Redis of one of Django's caches; `on_unavailable` is called for each call it does not answer."""
        self._alias, self._breaker, self._on_unavailable = alias, breaker, on_unavailable

    def get(self, key: str) -> bytes | None:
        """Return an entry, None also on a miss."""
        return self._call(lambda redis: redis.get(key))

    def get_or_lock(self, key: str, lock: str, *, required_prefix: bytes, milliseconds: int) -> bytes | int | None:
        """Return the entry with this prefix, else 1 where the caller now holds the lock, 0 where another does.

        One round trip. The lock expires after `milliseconds`.
        """
        arguments = (2, key, lock, required_prefix, milliseconds)

        def run_script(redis: Any) -> bytes | int:
            try:
                return redis.evalsha(_GET_OR_LOCK_SHA1, *arguments)  # type: ignore[no-any-return]  # `redis` is untyped
            except NoScriptError:
                return redis.eval(_GET_OR_LOCK, *arguments)  # type: ignore[no-any-return]  # as above

        return self._call(run_script)

    def store(
        self,
        entries: Iterable[tuple[str, bytes]],
        ttl: int,
        *,
        long_running: bool = False,
        release_lock: str | None = None,
    ) -> bool:
        """Store entries for about `ttl` seconds, release a lock, and tell whether Redis has done so."""

        def run_pipeline(redis: Any) -> bool:
            pipeline = redis.pipeline(transaction=False)
            for key, raw in entries:
                # Jitter: entries that were stored together must not expire together.
                jitter = random.uniform(0.9, 1.1)  # noqa: S311  no secret
                pipeline.set(key, raw, px=int(ttl * 1000 * jitter))
            if release_lock is not None:
                pipeline.unlink(release_lock)
            pipeline.execute()
            return True

        return bool(self._call(run_pipeline, long_running=long_running))

    def unlink(self, *keys: str) -> None:
        """Remove entries or locks."""
        self._call(lambda redis: redis.unlink(*keys))

    def clear(self, prefix: str) -> int | None:
        """Remove all entries whose key has this prefix; return their number."""

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
        """Run a command, unless the breaker is open or the request has no budget left for Redis.

        `long_running`: no deadline for the whole, only the client's timeout for each wait.
        """
        breaker = self._breaker
        if deadlines.has_redis_budget() and breaker.allows_call():
            try:
                with nullcontext() if long_running else deadlines.redis_deadline():
                    answer = command(cast("Any", caches[self._alias]).client.get_client(write=True))
            except (RedisError, OSError) as error:
                breaker.record_failure(error)
            else:
                breaker.record_success()
                return answer
        self._on_unavailable()
        return None
