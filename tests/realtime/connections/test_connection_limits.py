"""Sockets are counted over all processes, exactly and without a leak; without Redis, per process."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from django.conf import settings
from redis.asyncio import Redis

from monitoring.dependencies.breaker import BreakerState
from realtime.connections import connection_limits
from realtime.connections.connection_limits import ConnectionCounter
from tests.drills.harness.fault_proxy import FaultProxy

DEADLINE = 20


@pytest.fixture
def key() -> str:
    return f"user:{uuid.uuid4()}"


@pytest_asyncio.fixture
async def processes() -> AsyncIterator[list[ConnectionCounter]]:
    """Yield the counters of two processes."""
    counters = [ConnectionCounter(settings.REDIS_URL), ConnectionCounter(settings.REDIS_URL)]
    yield counters
    for counter in counters:
        await counter.close()


async def wait_until_refused(counter: ConnectionCounter, key: str, limit: int, *, refused: bool = True) -> None:
    """Wait until a counter refuses (or allows) another socket, as the other processes have published."""
    async with asyncio.timeout(DEADLINE):
        while True:
            acquired = await counter.acquire(key, limit)
            if acquired:
                counter.release(key)
            if acquired is not refused:
                return
            await asyncio.sleep(0.05)


async def test_forty_handshakes_at_two_processes_share_ten_slots(
    processes: list[ConnectionCounter], key: str
) -> None:
    one, other = processes

    acquired = await asyncio.gather(*((one if n % 2 else other).acquire(key, 10) for n in range(40)))

    assert acquired.count(True) == 10
    assert one.counts[key] + other.counts[key] == 10


async def test_a_released_slot_is_free_in_every_process(processes: list[ConnectionCounter], key: str) -> None:
    one, other = processes
    assert await one.acquire(key, 1)
    assert not await other.acquire(key, 1)

    one.release(key)

    await wait_until_refused(other, key, 1, refused=False)
    assert (one.counts, other.counts) == ({}, {})


async def test_keys_are_counted_separately(processes: list[ConnectionCounter], key: str) -> None:
    one, _ = processes

    assert [await one.acquire(f"{key}{n}", 1) for n in range(3)] == [True, True, True]


async def test_the_sockets_of_a_dead_process_stop_counting(
    processes: list[ConnectionCounter], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "PROCESS_TTL_SECONDS", 1)
    stopped, living = processes
    assert await stopped.acquire(key, 1)
    assert not await living.acquire(key, 1)

    await stopped.close()

    await wait_until_refused(living, key, 1, refused=False)


async def test_counts_are_published_again_after_redis_was_flushed(
    processes: list[ConnectionCounter], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "HEARTBEAT_SECONDS", 0.2)
    one, other = processes
    assert await one.acquire(key, 1)
    redis = Redis.from_url(settings.REDIS_URL)
    await redis.delete("freight:sockets", f"freight:sockets:{one.process_name}")
    await redis.aclose()

    await wait_until_refused(other, key, 1)


async def test_without_redis_a_process_counts_alone(key: str, unused_tcp_port: int) -> None:
    counter = ConnectionCounter(f"redis://127.0.0.1:{unused_tcp_port}/0")

    acquired = [await counter.acquire(key, 3) for _ in range(5)]
    counter.release(key)
    again = await counter.acquire(key, 3)
    await counter.close()

    assert (acquired, again) == ([True, True, True, False, False], True)


async def test_the_first_answer_after_an_outage_closes_the_breaker(redis_proxy: FaultProxy, key: str) -> None:
    counter = ConnectionCounter(settings.REDIS_URL)
    redis_proxy.faults.silent = True
    alone = await counter.acquire(key, 2)
    state_without_redis = counter._breaker.state

    redis_proxy.clear_faults()
    await asyncio.sleep(connection_limits.RETRY_SECONDS)
    async with asyncio.timeout(DEADLINE):
        while counter._breaker.state is not BreakerState.CLOSED:  # noqa: ASYNC110  a breaker sets no event
            await asyncio.sleep(0.05)
    acquired = [await counter.acquire(key, 2) for _ in range(2)]
    await counter.close()

    assert (alone, state_without_redis) == (True, BreakerState.OPEN)
    assert acquired == [True, False]


async def test_a_handshake_that_went_while_redis_was_asked_leaves_its_slot(
    processes: list[ConnectionCounter], key: str
) -> None:
    one, _ = processes
    gone = asyncio.create_task(one.acquire(key, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # Redis is being asked

    gone.cancel()

    await wait_until_refused(one, key, 1, refused=False)
    assert one.counts == {}
