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

BEAT_SECONDS: Final = 5.0
FORGOTTEN_SECONDS: Final = 30
RETRY_SECONDS: Final = 1.0
# What is given back is told together with what else changes in this time.
_PAUSE_SECONDS: Final = 0.2
_DEADLINE_SECONDS: Final = 0.3
# Asked for by one call; Redis does nothing else meanwhile.
_KEYS_AT_ONCE: Final = 200
_PROCESSES: Final = "freight:sockets"
# One call, so that no two handshakes share the last place. KEYS: the processes, by when they were heard of;
# ARGV: own name, seconds until a silent process is forgotten, then of each that is counted its key, its count here,
# how many more there shall be, and the most. Returns how many more there are.
_TAKE: Final = """
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
        self._asking: defaultdict[tuple[str, int], list[asyncio.Future[bool]]] = defaultdict(list)
        self._taking: asyncio.Task[None] | None = None
        self._untold: set[str] = set()
        self._changed: Final = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    async def take(self, key: str, most: int) -> bool:
        """This will count one more socket of a key, unless there are `most` already, and say whether it did.

        Those who ask while Redis is asked for others are asked for together.
        """
        if self.here[key] >= most:
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asking[key, most].append(answer)
        if self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._take_all(), context=Context())
        try:
            return await answer
        except asyncio.CancelledError:
            # Whoever asked is gone; what was counted for it meanwhile is free again.
            if answer.done() and not answer.cancelled() and answer.result():
                self.give_back(key)
            raise

    async def _take_all(self) -> None:
        while self._asking:
            # One call at a time: what Redis is told is then always the count after it.
            async with self._turn:
                asking = dict(itertools.islice(self._asking.items(), _KEYS_AT_ONCE))
                self._asking = defaultdict(list, itertools.islice(self._asking.items(), _KEYS_AT_ONCE, None))
                wanted = {of: len(answers) for of, answers in asking.items()}
                for key, _ in wanted:
                    self._tell_soon(key)  # also where the answer is not waited for
                free = await self._places(wanted)
                for (key, most), answers in asking.items():
                    self._answer(key, answers, min(free[key, most], most - self.here[key]))

    def _answer(self, key: str, answers: Iterable["asyncio.Future[bool]"], free: int) -> None:
        for answer in answers:
            if answer.done():
                continue  # whoever asked is gone
            answer.set_result(free > 0)
            if free > 0:
                free -= 1
                self.here[key] += 1

    def give_back(self, key: str) -> None:
        """This will count one less."""
        self.here[key] -= 1
        if self.here[key] <= 0:
            del self.here[key]
        self._tell_soon(key)

    async def _places(self, wanted: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], int]:
        """This will return how many of the wanted places of each key there are, over all processes."""
        if time.monotonic() < self._away_until:
            return wanted
        args: list[str | int] = [self.name, FORGOTTEN_SECONDS]
        for (key, most), more in wanted.items():
            args += [key, self.here[key], more, most]
        try:
            # One end for connecting, its handshake and the answer, each of which has a timeout of its own.
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return dict(zip(wanted, await self._take(keys=[_PROCESSES], args=args), strict=True))
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
            return wanted

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
        for task in (self._telling, self._taking):
            if task is not None:
                task.cancel()
                await asyncio.wait([task], timeout=1)
        await self._redis.aclose()


_censuses: dict[asyncio.AbstractEventLoop, Census] = {}


def current() -> Census:
    """This will return the census of this process and event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _censuses:
        _censuses[loop] = Census(settings.REDIS_URL)
    return _censuses[loop]
