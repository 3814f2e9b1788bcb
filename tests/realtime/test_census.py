"""Sockets counted over all processes: exactly, without a leak, and alone where Redis is gone."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from django.conf import settings
from redis.asyncio import Redis

from realtime import census
from realtime.census import Census

DEADLINE = 20


@pytest.fixture
def key() -> str:
    return f"user:{uuid.uuid4()}"


@pytest_asyncio.fixture
async def processes() -> AsyncIterator[list[Census]]:
    """Two processes' counts."""
    made = [Census(settings.REDIS_URL), Census(settings.REDIS_URL)]
    yield made
    for each in made:
        await each.close()


async def until_refused_by(process: Census, key: str, most: int, *, refused: bool = True) -> None:
    """This will wait until a process knows what others have told."""
    async with asyncio.timeout(DEADLINE):
        while True:
            taken = await process.take(key, most)
            if taken:
                process.give_back(key)
            if taken is not refused:
                return
            await asyncio.sleep(0.05)


async def test_forty_handshakes_at_two_processes_share_ten_places(processes: list[Census], key: str) -> None:
    one, other = processes

    taken = await asyncio.gather(*((one if n % 2 else other).take(key, 10) for n in range(40)))

    assert taken.count(True) == 10
    assert one.here[key] + other.here[key] == 10


async def test_what_is_given_back_is_free_everywhere(processes: list[Census], key: str) -> None:
    one, other = processes
    assert await one.take(key, 1)
    assert not await other.take(key, 1)

    one.give_back(key)

    await until_refused_by(other, key, 1, refused=False)
    assert (one.here, other.here) == ({}, {})


async def test_keys_do_not_count_for_each_other(processes: list[Census], key: str) -> None:
    one, _ = processes

    assert [await one.take(f"{key}{n}", 1) for n in range(3)] == [True, True, True]


async def test_a_process_that_died_takes_its_sockets_with_it(
    processes: list[Census], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "FORGOTTEN_SECONDS", 1)
    dead, living = processes
    assert await dead.take(key, 1)
    assert not await living.take(key, 1)

    await dead.close()

    await until_refused_by(living, key, 1, refused=False)


async def test_a_redis_that_was_emptied_is_told_again(
    processes: list[Census], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "BEAT_SECONDS", 0.2)
    one, other = processes
    assert await one.take(key, 1)
    redis = Redis.from_url(settings.REDIS_URL)
    await redis.delete("freight:sockets", f"freight:sockets:{one.name}")
    await redis.aclose()

    await until_refused_by(other, key, 1)


async def test_without_redis_a_process_counts_alone(key: str, unused_tcp_port: int) -> None:
    lone = Census(f"redis://127.0.0.1:{unused_tcp_port}/0")

    taken = [await lone.take(key, 3) for _ in range(5)]
    lone.give_back(key)
    again = await lone.take(key, 3)
    await lone.close()

    assert (taken, again) == ([True, True, True, False, False], True)
