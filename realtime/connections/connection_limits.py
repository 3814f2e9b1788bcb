"""Limits the sockets of a user and of an address over all processes.

Each process keeps its own counts and publishes them as a hash of its own in Redis, which expires
PROCESS_TTL_SECONDS after the process ended; the count of a key is the sum over the living processes. So the sockets
of a killed process stop counting, and a Redis that was emptied is complete again after a heartbeat. While Redis
does not answer a process counts alone: the limit then holds per process.
"""

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

from django.conf import settings
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitoring.dependencies.batching import BatchLoader
from monitoring.dependencies.breaker import BreakerState, CircuitBreaker, report_state

HEARTBEAT_SECONDS: Final = 5.0
PROCESS_TTL_SECONDS: Final = 30
RETRY_SECONDS: Final = 1.0
# Changes within this time are published together.
_COALESCE_SECONDS: Final = 0.2
_DEADLINE_SECONDS: Final = 0.3
# Requests in one script: Redis runs nothing else meanwhile.
_MAX_BATCH: Final = 200
_PROCESSES_KEY: Final = "freight:sockets"
# One script, so that no two handshakes get the last slot. KEYS: the processes, by the time of their last heartbeat;
# ARGV: own name, seconds until a silent process is forgotten, then of each key its name, its count in this process,
# the number of slots requested, and the limit. Returns the number of slots granted for each key.
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
local granted, published = {}, {}
for n, key in ipairs(keys) do
    local at = 3 + (n - 1) * 4
    granted[n] = math.max(0, math.min(tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]) - total[n]))
    if granted[n] > 0 then
        published[#published + 1] = key
        published[#published + 1] = tonumber(ARGV[at + 1]) + granted[n]
    end
end
if #published > 0 then
    redis.call('ZADD', KEYS[1], now, ARGV[1])
    redis.call('HSET', KEYS[1] .. ':' .. ARGV[1], unpack(published))
    redis.call('EXPIRE', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
end
return granted
"""
# Records that the process lives and returns whether its published counts are still there.
_HEARTBEAT_LUA: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
return redis.call('EXPIRE', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
"""

# The series exists before the first socket, which makes the counter and its breaker.
report_state("redis_connections", BreakerState.CLOSED)
_Request = tuple[str, int]  # a key and its limit


class ConnectionCounter:
    """The counts of one process and event loop.

    `counts` and what is granted change together, without an await between them, under `_lock`: a count that is
    published is always one that holds.
    """

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
        self._breaker: Final = CircuitBreaker(
            "redis_connections",
            reset_seconds=RETRY_SECONDS,
            consequence="sockets are counted by this process alone",
        )
        # One call at a time, to grant or to publish: what Redis is sent is then always the count after it.
        self._lock: Final = asyncio.Lock()
        self._requests: Final[BatchLoader[_Request, bool]] = BatchLoader(
            self._grant, max_batch=_MAX_BATCH, on_abandoned=self._give_back
        )
        self._unpublished: set[str] = set()
        self._changed: Final = asyncio.Event()
        self._publish_task: asyncio.Task[None] | None = None

    async def acquire(self, key: str, limit: int) -> bool:
        """Count one more socket of a key unless there are `limit` already; return whether it was counted.

        Requests that come while Redis is asked share the next call. Release what was granted.
        """
        if self.counts[key] >= limit:
            return False
        return bool(await self._requests.load((key, limit)))

    async def _grant(self, requests: list[_Request]) -> list[bool]:
        """Grant slots in the order of the requests and count them."""
        async with self._lock:
            requested = Counter(requests)
            for key, _ in requested:
                self._schedule_publish(key)  # also where the answer comes too late
            free = dict(await self._free_slots(requested))
            granted = []
            for request in requests:
                key, limit = request
                is_granted = free[request] > 0 and self.counts[key] < limit
                if is_granted:
                    free[request] -= 1
                    self.counts[key] += 1
                granted.append(is_granted)
            return granted

    def _give_back(self, request: _Request, granted: bool) -> None:  # noqa: FBT001  the signature of a callback
        """Release what was granted to a handshake that is gone."""
        if granted:
            self.release(request[0])

    def release(self, key: str) -> None:
        """Count one socket of the key less."""
        self.counts[key] -= 1
        if self.counts[key] <= 0:
            del self.counts[key]
        self._schedule_publish(key)

    async def _free_slots(self, requested: Mapping[_Request, int]) -> Mapping[_Request, int]:
        """Return how many of the requested slots are free over all processes; without Redis all of them."""
        if not self._breaker.allows_call():
            return requested
        args: list[str | int] = [self.process_name, PROCESS_TTL_SECONDS]
        for (key, limit), more in requested.items():
            args += [key, self.counts[key], more, limit]
        try:
            # One deadline for connecting, the handshake and the reply, each of which has a timeout of its own.
            async with asyncio.timeout(_DEADLINE_SECONDS):
                free = dict(
                    zip(requested, await self._acquire_script(keys=[_PROCESSES_KEY], args=args), strict=True)
                )
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.record_failure(error)
            return requested
        self._breaker.record_success()
        return free

    # -- publishing -------------------------------------------------------------------------------------

    def _schedule_publish(self, key: str) -> None:
        self._unpublished.add(key)
        self._changed.set()
        if self._publish_task is None or self._publish_task.done():
            self._publish_task = asyncio.get_running_loop().create_task(self._publish_forever(), context=Context())

    async def _publish_forever(self) -> None:
        """Publish changed counts, and a heartbeat every HEARTBEAT_SECONDS, while the process has sockets."""
        heartbeat_at = 0.0
        while self.counts or self._unpublished:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            is_closed = self._breaker.state is BreakerState.CLOSED
            await asyncio.sleep(_COALESCE_SECONDS if is_closed else RETRY_SECONDS)
            if not self._breaker.allows_call():
                self._changed.set()
                heartbeat_at = 0.0
                continue
            try:
                if time.monotonic() >= heartbeat_at:
                    heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
                    if not await self._heartbeat_script(
                        keys=[_PROCESSES_KEY], args=[self.process_name, PROCESS_TTL_SECONDS]
                    ):
                        self._unpublished |= set(self.counts)  # Redis was emptied, or this is the first heartbeat
                async with self._lock:
                    await self._publish_counts()
            except (RedisError, OSError, TimeoutError) as error:
                self._breaker.record_failure(error)
                self._changed.set()
                heartbeat_at = 0.0
            else:
                self._breaker.record_success()

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
        """Stop publishing; the published counts expire after PROCESS_TTL_SECONDS."""
        if self._publish_task is not None:
            self._publish_task.cancel()
            await asyncio.wait([self._publish_task], timeout=1)
        await self._redis.aclose()


_counters: dict[asyncio.AbstractEventLoop, ConnectionCounter] = {}


def current() -> ConnectionCounter:
    """Return the counter of this process and event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _counters:
        _counters[loop] = ConnectionCounter(settings.REDIS_URL)
    return _counters[loop]
