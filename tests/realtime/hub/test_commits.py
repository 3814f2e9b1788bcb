"""Hints about commits: which logs have grown, in few messages however many events there are."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from realtime.hub import commits
from realtime.hub.subscription import Subscription
from realtime.protocol.room_names import COMMITS_GROUP
from shipments import services
from shipments.models import Shipment
from shipments.services.fleet import drivers
from tests.factories import NOW
from tests.realtime.hub.members import book_shipment, number_all

pytestmark = pytest.mark.usefixtures("committed")
BURST = 300


class Listener:
    """Collects the messages of the group."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()

    def receive(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self._arrived.set()

    @property
    def keys(self) -> set[uuid.UUID]:
        return {uuid.UUID(bytes=key) for message in self.messages for key in message["keys"]}

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()


@pytest_asyncio.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    subscription = Subscription(listener.receive, groups=[COMMITS_GROUP])
    await subscription.open()
    yield listener
    await subscription.close()


async def test_a_commit_names_the_shipment_and_its_number_the_feed(listener: Listener) -> None:
    by, shipment = await book_shipment()
    await listener.wait_for(lambda: shipment.pk in listener.keys)
    assert by.organization_id not in listener.keys
    assert all(message["unnumbered"] for message in listener.messages)
    listener.messages.clear()

    await number_all()

    await listener.wait_for(lambda: by.organization_id in listener.keys)
    assert not any(message["unnumbered"] for message in listener.messages)


async def test_a_burst_takes_few_messages(listener: Listener) -> None:
    by, _ = await book_shipment()
    await number_all()
    await listener.wait_for(lambda: by.organization_id in listener.keys)
    listener.messages.clear()
    booking = {"origin": "NLRTM", "destination": "DEHAM", "status": "booked"}

    booked = await sync_to_async(services.book_all)(by=by, now=NOW, bookings=[booking] * BURST)

    ids = {each.pk for each in booked if isinstance(each, Shipment)}
    assert len(ids) == BURST
    await listener.wait_for(lambda: ids <= listener.keys)
    assert len(listener.messages) < BURST / 3


async def test_an_event_of_no_shipment_waits_for_its_number_too(listener: Listener) -> None:
    by, shipment = await book_shipment()
    await number_all()
    await listener.wait_for(lambda: by.organization_id in listener.keys)
    listener.messages.clear()
    assert shipment.driver_id

    await sync_to_async(drivers.amend)(by=by, now=NOW, driver_id=shipment.driver_id, changes={"name": "Another"})

    await listener.wait_for(lambda: bool(listener.messages))
    assert [(message["unnumbered"], message["keys"]) for message in listener.messages] == [(True, [])]


async def test_a_callback_is_called_on_its_loop_with_the_keys() -> None:
    keys: set[uuid.UUID] = set()
    commits.listen(keys.update)

    booked: set[uuid.UUID] = set()
    async with asyncio.timeout(10):
        while not keys:  # what is booked before the subscription stands is not heard of
            _, shipment = await book_shipment()
            booked.add(shipment.pk)

    assert keys <= booked


@pytest.mark.parametrize("turns", range(4))
async def test_a_subscription_ends_when_it_is_cancelled_beside_its_echo(turns: int) -> None:
    subscription = Subscription(lambda _: None)
    waiting = asyncio.create_task(subscription._wait_for_echo())
    await asyncio.sleep(0)
    subscription._echo_received.set()
    for _ in range(turns):
        await asyncio.sleep(0)

    was_waiting = waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled() is was_waiting
