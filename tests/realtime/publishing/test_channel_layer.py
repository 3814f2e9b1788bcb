"""What a listener receives through the channel layer, on a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio
from django.conf import settings

from realtime.publishing.channel_layer import HintChannelLayer

pytestmark = pytest.mark.asyncio
NAME = "specific.test"


class Listener:
    """Records the messages of its channel."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.arrived = asyncio.Event()

    def receive(self, message: dict[str, Any]) -> None:
        self.received.append(message["n"])
        self.arrived.set()

    async def wait_for(self, count: int) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.received) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return self.received


@pytest_asyncio.fixture
async def layer() -> AsyncIterator[HintChannelLayer]:
    config = settings.CHANNEL_LAYERS["default"]["CONFIG"]
    channel_layer = HintChannelLayer(**config | {"prefix": "layertest"})
    yield channel_layer
    await channel_layer.flush()


async def wait_for_subscribers(group: str, count: int) -> None:
    """Wait until Redis counts as many subscribers of a group."""
    async with redis.asyncio.Redis.from_url(settings.REDIS_URL) as client, asyncio.timeout(10):
        while (await client.pubsub_numsub(f"layertest__group__{group}"))[0][1] != count:  # noqa: ASYNC110  Redis has no event for it
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def listener(layer: HintChannelLayer) -> Listener:
    added = Listener()
    layer.add_listener(NAME, added.receive)
    await layer.group_add("room", NAME)
    await wait_for_subscribers("room", 1)
    return added


async def test_messages_to_a_group_arrive_in_order_and_unchanged(
    layer: HintChannelLayer, listener: Listener
) -> None:
    for number in range(200):
        await layer.group_send("room", {"n": number})
    await layer.group_send("room", {"n": b"\x00bytes"})

    assert await listener.wait_for(201) == [*range(200), b"\x00bytes"]


async def test_a_batch_arrives_in_order_whatever_its_groups(layer: HintChannelLayer, listener: Listener) -> None:
    await layer.group_add("second", NAME)
    await wait_for_subscribers("second", 1)

    await layer.publish([(("room", "second")[number % 2], {"n": number}) for number in range(100)])

    assert await listener.wait_for(100) == list(range(100))


async def test_other_groups_and_left_ones_are_not_received(layer: HintChannelLayer, listener: Listener) -> None:
    await layer.group_add("left", NAME)
    await wait_for_subscribers("left", 1)
    await layer.group_discard("left", NAME)
    await wait_for_subscribers("left", 0)

    for group in ("other", "left", "room"):
        await layer.group_send(group, {"n": group})

    assert await listener.wait_for(1) == ["room"]


async def test_an_invalid_message_is_skipped_and_the_connection_stays(
    layer: HintChannelLayer, listener: Listener
) -> None:
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
    for nonsense in (b"", b"\xc1", b"nonsense"):
        await client.publish("layertest__group__room", nonsense)
    await layer.group_send("room", {"n": "whole"})

    assert await listener.wait_for(1) == ["whole"]  # a new connection would have missed it
    await client.aclose()


async def test_it_receives_again_after_its_connection_was_killed(
    layer: HintChannelLayer, listener: Listener
) -> None:
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
    numbers = await client.pubsub_numsub("layertest__group__room")
    await client.client_kill_filter(_type="pubsub")
    async with asyncio.timeout(10):
        while True:
            await layer.group_send("room", {"n": "again"})
            if listener.received:
                break
            await asyncio.sleep(0.05)

    assert numbers[0][1] == 1
    assert listener.received[0] == "again"
    await client.aclose()
