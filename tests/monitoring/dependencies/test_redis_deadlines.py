"""A slow Redis costs a request no more than one that is gone: the waits of its commands do not add up."""

import asyncio
import contextlib
import time
import uuid
from functools import partial

import pytest
import redis
from django.conf import settings

from monitoring.dependencies import deadlines
from monitoring.dependencies.breaker import RESET_SECONDS, CircuitBreaker, redis_breaker
from ratelimits import async_limiter, counters, limiter
from ratelimits.policies import Policy
from shipments.caching.service import CacheService
from tests.drills.harness.fault_proxy import FaultProxy
from tests.timing import fastest_reported_seconds, fastest_seconds, slowest_seconds

POLICY = Policy("general", 1_000_000, 900)
# Each reply comes before any timeout of the client, so nothing fails and no breaker opens.
SLOW_SECONDS = 0.24
# The objective for a whole request is one second; the rest is for its own work and a busy machine.
MAX_SECONDS = deadlines.REDIS_REQUEST_BUDGET_SECONDS + 0.4


def simulate_request(service: CacheService, *, bounded: bool, reads: int) -> float:
    """Use Redis as a request does, for a limit and for cached values, and return the seconds."""
    started = time.monotonic()
    with deadlines.request_budget() if bounded else contextlib.nullcontext():
        assert limiter.hit(POLICY, f"address:{uuid.uuid4()}").allowed
        for _ in range(reads):
            assert service.get_or_set(f"test:{uuid.uuid4()}", lambda: "made") == "made"
    return time.monotonic() - started


async def test_the_commands_of_a_request_to_a_slow_redis_share_one_budget(redis_proxy: FaultProxy) -> None:
    service = CacheService("test", ttl=60)
    await asyncio.to_thread(simulate_request, service, bounded=False, reads=1)  # opens the connections

    redis_proxy.faults.delay = SLOW_SECONDS / 2

    def unbounded() -> float:
        redis_breaker.reset()  # a busy machine may have taken a reply past its timeout
        return simulate_request(service, bounded=False, reads=1)

    def bounded() -> float:
        return fastest_seconds(partial(simulate_request, service, bounded=True, reads=5), under=MAX_SECONDS)

    # What it would be without a budget: the fault is real.
    assert await asyncio.to_thread(slowest_seconds, unbounded, over=4 * SLOW_SECONDS) > 4 * SLOW_SECONDS
    assert await asyncio.to_thread(bounded) < MAX_SECONDS


async def test_a_request_in_a_batch_of_counts_waits_within_its_own_budget(redis_proxy: FaultProxy) -> None:
    async def counted(begins: float, *, bounded: bool) -> float:
        await asyncio.sleep(begins)  # while a batch of others is under way
        started = time.monotonic()
        with deadlines.request_budget() if bounded else contextlib.nullcontext():
            for _ in range(4):
                usage = await async_limiter.check("general", f"address:{uuid.uuid4()}")
                assert usage is not None
                assert usage.allowed
        return time.monotonic() - started

    await counted(0, bounded=False)  # opens the connections

    redis_proxy.faults.delay = SLOW_SECONDS / 2
    unbounded = await counted(0, bounded=False)

    async def slowest() -> float:
        return max(await asyncio.gather(*(counted(each / 40, bounded=True) for each in range(10))))

    assert unbounded > 4 * SLOW_SECONDS  # what it would be without a budget: the fault is real
    assert await fastest_reported_seconds(slowest, under=MAX_SECONDS) < MAX_SECONDS


async def test_a_count_that_times_out_is_made_by_the_process_and_not_by_redis_later(
    redis_proxy: FaultProxy,
) -> None:
    key = f"address:{uuid.uuid4()}"
    await async_limiter.check("general", key)

    redis_proxy.faults.silent = True
    with deadlines.request_budget():
        alone = [await async_limiter.check("general", key) for _ in range(3)]
    redis_proxy.clear_faults()
    await asyncio.sleep(RESET_SECONDS + 0.1)

    assert [each and each.count for each in alone] == [1, 2, 3]
    # The first, and one that Redis may have received as it fell silent.
    assert await asyncio.to_thread(count_of, key) <= 2


def count_of(key: str) -> int:
    """Return what Redis has counted; the limiter may ask the process alone, while its breaker is half-open."""
    counter = counters.redis_key("count", limiter.current_counters(key)["general"])
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return int(client.get(counter) or 0)


@pytest.mark.parametrize("silent", [False, True])
async def test_a_command_times_out_with_connecting_included(redis_proxy: FaultProxy, silent: bool) -> None:
    redis_proxy.faults.delay, redis_proxy.faults.silent = SLOW_SECONDS / 2, silent

    def ask() -> None:
        redis_breaker.reset()  # Redis is called each time
        assert limiter.hit(POLICY, f"address:{uuid.uuid4()}").count == 1

    # Connecting alone exceeds the deadline of a command, in more than one wait.
    limit = deadlines.REDIS_COMMAND_TIMEOUT_SECONDS + 0.4
    assert await asyncio.to_thread(partial(fastest_seconds, ask, under=limit)) < limit


async def test_a_late_reply_is_not_read_by_the_next_command(redis_proxy: FaultProxy) -> None:
    service = CacheService("test", ttl=60, breaker=CircuitBreaker("test", consequence="none"))
    keys = {f"test:{uuid.uuid4()}": each for each in range(5)}
    for key, value in keys.items():
        await asyncio.to_thread(service.set, key, value)

    redis_proxy.faults.delay = deadlines.REDIS_COMMAND_TIMEOUT_SECONDS
    late = await asyncio.to_thread(service.get, next(iter(keys)))
    redis_proxy.clear_faults()
    await asyncio.sleep(RESET_SECONDS + 0.1)
    values = {key: await asyncio.to_thread(service.get, key) for key in keys}

    assert late is None
    assert values == keys
