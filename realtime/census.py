"""How many sockets a user and an address have, over all processes.

Each process keeps its own counts and tells them in a hash of its own in Redis, which ends 30 s after the process
does; a count is the sum over the processes that have been heard of since. So a process that is killed takes its
sockets with it, and a Redis that was emptied knows everything again after a beat. While Redis is gone a process
counts alone: the limit then holds per process.
"""

import asyncio
import os
import time
import uuid
from collections import Counter
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

import structlog
from django.conf import settings
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

BEAT_SECONDS: Final = 5.0
FORGOTTEN_SECONDS: Final = 30
RETRY_SECONDS: Final = 1.0
# What is given back is told together with what else changes in this time.
_PAUSE_SECONDS: Final = 0.2
_DEADLINE_SECONDS: Final = 0.3
_PROCESSES: Final = "freight:sockets"
# One call, so that no two handshakes share the last place. KEYS: the processes, by when they were heard of;
# ARGV: own name, what is counted, its count here, the most, seconds until a silent process is forgotten.
_TAKE: Final = """
local now = tonumber(redis.call('TIME')[1])
local total = tonumber(ARGV[3])
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now - tonumber(ARGV[5]), '+inf')) do
    if process ~= ARGV[1] then
        total = total + tonumber(redis.call('HGET', KEYS[1] .. ':' .. process, ARGV[2]) or 0)
    end
end
if total > tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[1] .. ':' .. ARGV[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1] .. ':' .. ARGV[1], ARGV[5])
return 1
"""
# Says that the process lives, and whether what it told is still there.
_BEAT: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
return redis.call('EXPIRE', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
"""

log = structlog.get_logger(__name__)


class Census:
    """The counts of one process and event loop."""

    def __init__(self, url: str) -> None:
        self.here: Counter[str] = Counter()
        self.name: Final = f"{os.getpid()}.{uuid.uuid4().hex[:12]}"
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=2,
            timeout=_DEADLINE_SECONDS,
            socket_connect_timeout=_DEADLINE_SECONDS,
            socket_timeout=_DEADLINE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Final = Redis.from_pool(pool)
        self._take: Final[Any] = self._redis.register_script(_TAKE)
        self._beat: Final[Any] = self._redis.register_script(_BEAT)
        self._away_until = 0.0
        self._turn: Final = asyncio.Lock()
        self._untold: set[str] = set()
        self._changed: Final = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    async def take(self, key: str, most: int) -> bool:
        """This will count one more socket of a key, unless there are `most` already, and say whether it did."""
        # One at a time: what Redis is told is then always the count after this one.
        async with self._turn:
            if self.here[key] >= most:
                return False
            self._tell_soon(key)  # also where the answer is not waited for
            if not await self._room_for(key, most):
                return False
            self.here[key] += 1
            return True

    def give_back(self, key: str) -> None:
        """This will count one less."""
        self.here[key] -= 1
        if self.here[key] <= 0:
            del self.here[key]
        self._tell_soon(key)

    async def _room_for(self, key: str, most: int) -> bool:
        if time.monotonic() < self._away_until:
            return True
        args = [self.name, key, self.here[key] + 1, most, FORGOTTEN_SECONDS]
        try:
            return bool(await self._take(keys=[_PROCESSES], args=args))
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
            return True

    def _away(self, error: Exception) -> None:
        if self._away_until == 0.0:
            log.warning("Redis does not answer: this process counts its sockets alone", error=repr(error))
        self._away_until = time.monotonic() + RETRY_SECONDS

    # -- telling ----------------------------------------------------------------------------------------

    def _tell_soon(self, key: str) -> None:
        self._untold.add(key)
        self._changed.set()
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell_forever(), context=Context())

    async def _tell_forever(self) -> None:
        """This will tell what changed, and every few seconds that the process lives, while it has sockets."""
        beat_at = 0.0
        while self.here or self._untold:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(RETRY_SECONDS if time.monotonic() < self._away_until else _PAUSE_SECONDS)
            try:
                if time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + BEAT_SECONDS
                    if not await self._beat(keys=[_PROCESSES], args=[self.name, FORGOTTEN_SECONDS]):
                        self._untold |= set(self.here)  # Redis was emptied, or this is the beginning
                async with self._turn:
                    await self._tell()
            except (RedisError, OSError, TimeoutError) as error:
                self._away(error)
                self._changed.set()
                beat_at = 0.0
            else:
                self._away_until = 0.0

    async def _tell(self) -> None:
        keys = set(self._untold)
        if not keys:
            return
        own = f"{_PROCESSES}:{self.name}"
        counts = {key: self.here[key] for key in keys if key in self.here}
        gone = [key for key in keys if key not in counts]
        async with self._redis.pipeline(transaction=False) as pipeline:
            if counts:
                pipeline.hset(own, mapping=counts)
            if gone:
                pipeline.hdel(own, *gone)
            pipeline.expire(own, FORGOTTEN_SECONDS)
            self._untold -= keys
            try:
                await pipeline.execute()
            except BaseException:
                self._untold |= keys
                raise

    async def close(self) -> None:
        """This will end the telling; what was told is forgotten after a while."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling], timeout=1)
        await self._redis.aclose()


_censuses: dict[asyncio.AbstractEventLoop, Census] = {}


def current() -> Census:
    """This will return the census of this process and event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _censuses:
        _censuses[loop] = Census(settings.REDIS_URL)
    return _censuses[loop]
