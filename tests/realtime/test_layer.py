"""What a process hears through the channel layer, on real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio
from django.conf import settings

from realtime.layer import HintLayer

pytestmark = pytest.mark.asyncio
NAME = "specific.test"


class Ear:
    """Writes down what comes."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.more = asyncio.Event()

    def take(self, message: dict[str, Any]) -> None:
        self.heard.append(message["n"])
        self.more.set()

    async def hears(self, count: int) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self.more.clear()
                await self.more.wait()
        return self.heard


@pytest_asyncio.fixture
async def layer() -> AsyncIterator[HintLayer]:
    config = settings.CHANNEL_LAYERS["default"]["CONFIG"]
    made = HintLayer(**config | {"prefix": "layertest"})
    yield made
    await made.flush()


@pytest_asyncio.fixture
async def ear(layer: HintLayer) -> Ear:
    made = Ear()
    layer.hear(NAME, made.take)
    await layer.group_add("room", NAME)
    await asyncio.sleep(0.1)  # the subscription is on its way
    return made


async def test_what_is_sent_to_a_group_comes_in_order_and_as_it_was(layer: HintLayer, ear: Ear) -> None:
    for number in range(200):
        await layer.group_send("room", {"n": number})
    await layer.group_send("room", {"n": b"\x00bytes"})

    assert await ear.hears(201) == [*range(200), b"\x00bytes"]


async def test_many_messages_at_once_come_in_their_order_whatever_their_groups(layer: HintLayer, ear: Ear) -> None:
    await layer.group_add("second", NAME)
    await asyncio.sleep(0.1)

    await layer.publish([(("room", "second")[number % 2], {"n": number}) for number in range(100)])

    assert await ear.hears(100) == list(range(100))


async def test_other_groups_and_left_ones_are_not_heard(layer: HintLayer, ear: Ear) -> None:
    await layer.group_add("left", NAME)
    await layer.group_discard("left", NAME)
    await asyncio.sleep(0.1)

    for group in ("other", "left", "room"):
        await layer.group_send(group, {"n": group})

    assert await ear.hears(1) == ["room"]


async def test_what_is_no_message_is_passed_over_and_the_connection_stays(layer: HintLayer, ear: Ear) -> None:
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
    for nonsense in (b"", b"\xc1", b"nonsense"):
        await client.publish("layertest__group__room", nonsense)
    await layer.group_send("room", {"n": "whole"})

    assert await ear.hears(1) == ["whole"]  # a connection made anew would not have been told
    await client.aclose()


async def test_it_hears_again_after_its_connection_was_killed(layer: HintLayer, ear: Ear) -> None:
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
    numbers = await client.pubsub_numsub("layertest__group__room")
    await client.client_kill_filter(_type="pubsub")
    async with asyncio.timeout(10):
        while True:
            await layer.group_send("room", {"n": "again"})
            if ear.heard:
                break
            await asyncio.sleep(0.05)

    assert numbers[0][1] == 1
    assert ear.heard[0] == "again"
    await client.aclose()
