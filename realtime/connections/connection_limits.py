"""How many sockets a user and an address have, over all processes.

Each process keeps its own counts and tells them in a hash of its own in Redis, which ends 30 s after the process
does; a count is the sum over the processes that have been heard of since. So a process that is killed takes its
sockets with it, and a Redis that was emptied knows everything again after a beat. While Redis is gone a process
counts alone: the limit then holds per process.
"""

import asyncio
import itertools
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

import structlog
from django.conf import settings
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

HEARTBEAT_SECONDS: Final = 5.0
PROCESS_TTL_SECONDS: Final = 30
RETRY_SECONDS: Final = 1.0
# What is given back is told together with what else changes in this time.
_COALESCE_SECONDS: Final = 0.2
_DEADLINE_SECONDS: Final = 0.3
# Asked for by one call; Redis does nothing else meanwhile.
_MAX_KEYS_PER_CALL: Final = 200
_PROCESSES_KEY: Final = "freight:sockets"
# One call, so that no two handshakes share the last place. KEYS: the processes, by when they were heard of;
# ARGV: own name, seconds until a silent process is forgotten, then of each that is counted its key, its count here,
# how many more there shall be, and the most. Returns how many more there are.
_ACQUIRE_LUA: Final = """
local now = tonumber(redis.call('TIME')[1])
local keys, total = {}, {}
for i = 3, #ARGV, 4 do
    keys[#keys + 1] = ARGV[i]
    total[#total + 1] = tonumber(ARGV[i + 1])
end
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now - tonumber(ARGV[2]), '+inf')) do
    if process ~= ARGV[1] then
        for n, count in ipairs(redis.call('HMGET', KEYS[1] .. ':' .. process, unpack(keys))) do
            total[n] = total[n] + tonumber(count or 0)
        end
    end
end
local taken, told = {}, {}
for n, key in ipairs(keys) do
    local at = 3 + (n - 1) * 4
    taken[n] = math.max(0, math.min(tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]) - total[n]))
    if taken[n] > 0 then
        told[#told + 1] = key
        told[#told + 1] = tonumber(ARGV[at + 1]) + taken[n]
    end
end
if #told > 0 then
    redis.call('ZADD', KEYS[1], now, ARGV[1])
    redis.call('HSET', KEYS[1] .. ':' .. ARGV[1], unpack(told))
    redis.call('EXPIRE', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
end
return taken
"""
# Says that the process lives, and whether what it told is still there.
_HEARTBEAT_LUA: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
return redis.call('EXPIRE', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
"""

log = structlog.get_logger(__name__)


class ConnectionCounter:
    """The counts of one process and event loop."""

    def __init__(self, url: str) -> None:
        self.counts: Counter[str] = Counter()
        self.process_name: Final = f"{os.getpid()}.{uuid.uuid4().hex[:12]}"
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=2,
            timeout=_DEADLINE_SECONDS,
            socket_connect_timeout=_DEADLINE_SECONDS,
            socket_timeout=_DEADLINE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Final = Redis.from_pool(pool)
        self._acquire_script: Final[Any] = self._redis.register_script(_ACQUIRE_LUA)
        self._heartbeat_script: Final[Any] = self._redis.register_script(_HEARTBEAT_LUA)
        self._redis_retry_at = 0.0
        self._lock: Final = asyncio.Lock()
        self._waiting: defaultdict[tuple[str, int], list[asyncio.Future[bool]]] = defaultdict(list)
        self._acquire_task: asyncio.Task[None] | None = None
        self._unpublished: set[str] = set()
        self._changed: Final = asyncio.Event()
        self._publish_task: asyncio.Task[None] | None = None

    async def acquire(self, key: str, limit: int) -> bool:
        """Count one more socket of a key, unless there are `most` already, and say whether it did.

        Those who ask while Redis is asked for others are asked for together.
        """
        if self.counts[key] >= limit:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[key, limit].append(future)
        if self._acquire_task is None or self._acquire_task.done():
            self._acquire_task = asyncio.create_task(self._acquire_waiting(), context=Context())
        try:
            return await future
        except asyncio.CancelledError:
            # Whoever asked is gone; what was counted for it meanwhile is free again.
            if future.done() and not future.cancelled() and future.result():
                self.release(key)
            raise

    async def _acquire_waiting(self) -> None:
        while self._waiting:
            # One call at a time: what Redis is told is then always the count after it.
            async with self._lock:
                batch = dict(itertools.islice(self._waiting.items(), _MAX_KEYS_PER_CALL))
                self._waiting = defaultdict(list, itertools.islice(self._waiting.items(), _MAX_KEYS_PER_CALL, None))
                requested = {key_and_limit: len(answers) for key_and_limit, answers in batch.items()}
                for key, _ in requested:
                    self._schedule_publish(key)  # also where the answer is not waited for
                free = await self._free_slots(requested)
                for (key, limit), futures in batch.items():
                    self._resolve(key, futures, min(free[key, limit], limit - self.counts[key]))

    def _resolve(self, key: str, futures: Iterable["asyncio.Future[bool]"], free: int) -> None:
        for future in futures:
            if future.done():
                continue  # whoever asked is gone
            future.set_result(free > 0)
            if free > 0:
                free -= 1
                self.counts[key] += 1

    def release(self, key: str) -> None:
        """Count one less."""
        self.counts[key] -= 1
        if self.counts[key] <= 0:
            del self.counts[key]
        self._schedule_publish(key)

    async def _free_slots(self, requested: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], int]:
        """Return how many of the wanted places of each key there are, over all processes."""
        if time.monotonic() < self._redis_retry_at:
            return requested
        args: list[str | int] = [self.process_name, PROCESS_TTL_SECONDS]
        for (key, limit), more in requested.items():
            args += [key, self.counts[key], more, limit]
        try:
            # One end for connecting, its handshake and the answer, each of which has a timeout of its own.
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return dict(
                    zip(requested, await self._acquire_script(keys=[_PROCESSES_KEY], args=args), strict=True)
                )
        except (RedisError, OSError, TimeoutError) as error:
            self._record_redis_failure(error)
            return requested

    def _record_redis_failure(self, error: Exception) -> None:
        if self._redis_retry_at == 0.0:
            log.warning("Redis does not answer: this process counts its sockets alone", error=repr(error))
        self._redis_retry_at = time.monotonic() + RETRY_SECONDS

    # -- telling ----------------------------------------------------------------------------------------

    def _schedule_publish(self, key: str) -> None:
        self._unpublished.add(key)
        self._changed.set()
        if self._publish_task is None or self._publish_task.done():
            self._publish_task = asyncio.get_running_loop().create_task(self._publish_forever(), context=Context())

    async def _publish_forever(self) -> None:
        """Tell what changed, and every few seconds that the process lives, while it has sockets."""
        heartbeat_at = 0.0
        while self.counts or self._unpublished:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(RETRY_SECONDS if time.monotonic() < self._redis_retry_at else _COALESCE_SECONDS)
            try:
                if time.monotonic() >= heartbeat_at:
                    heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
                    if not await self._heartbeat_script(
                        keys=[_PROCESSES_KEY], args=[self.process_name, PROCESS_TTL_SECONDS]
                    ):
                        self._unpublished |= set(self.counts)  # Redis was emptied, or this is the beginning
                async with self._lock:
                    await self._publish_counts()
            except (RedisError, OSError, TimeoutError) as error:
                self._record_redis_failure(error)
                self._changed.set()
                heartbeat_at = 0.0
            else:
                self._redis_retry_at = 0.0

    async def _publish_counts(self) -> None:
        keys = set(self._unpublished)
        if not keys:
            return
        own_key = f"{_PROCESSES_KEY}:{self.process_name}"
        counts = {key: self.counts[key] for key in keys if key in self.counts}
        released = [key for key in keys if key not in counts]
        async with self._redis.pipeline(transaction=False) as pipeline:
            if counts:
                pipeline.hset(own_key, mapping=counts)
            if released:
                pipeline.hdel(own_key, *released)
            pipeline.expire(own_key, PROCESS_TTL_SECONDS)
            self._unpublished -= keys
            try:
                await pipeline.execute()
            except BaseException:
                self._unpublished |= keys
                raise

    async def close(self) -> None:
        """End the telling; what was told is forgotten after a while."""
        for task in (self._publish_task, self._acquire_task):
            if task is not None:
                task.cancel()
                await asyncio.wait([task], timeout=1)
        await self._redis.aclose()


_counters: dict[asyncio.AbstractEventLoop, ConnectionCounter] = {}


def current() -> ConnectionCounter:
    """Return the census of this process and event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _counters:
        _counters[loop] = ConnectionCounter(settings.REDIS_URL)
    return _counters[loop]
