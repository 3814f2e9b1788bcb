"""The latency of deliveries counts every update to every room with a history, the feed among them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from monitoring import clock
from realtime import metrics
from realtime.hub.log_room import JoinRequest
from realtime.hub.room_hub import RoomHub
from shipments import services
from tests.realtime.hub.members import Watcher, book_shipment, feed_request, join_request, number_all

pytestmark = pytest.mark.usefixtures("committed")
UPDATES = 10


def observed() -> tuple[int, float]:
    """Return how many deliveries were observed so far, and the sum of their seconds."""
    samples = {sample.name: sample.value for each in metrics.delivery_seconds.collect() for sample in each.samples}
    name = "websocket_delivery_latency_seconds"
    return int(samples[f"{name}_count"]), samples[f"{name}_sum"]


@sync_to_async
def amend(by: Any, shipment: Any, pieces: int, *, now: datetime | None = None) -> None:
    services.amend(by=by, now=now or datetime.now(UTC), reference=shipment.reference, changes={"pieces": pieces})


@pytest.mark.parametrize(
    "make_request",
    [join_request, lambda shipment: feed_request(shipment.organization_id)],
    ids=["shipment", "feed"],
)
async def test_each_update_to_a_room_is_observed_once(
    hub: RoomHub, make_request: Callable[[Any], JoinRequest]
) -> None:
    by, shipment = await book_shipment()
    await number_all()
    member, other = Watcher(), Watcher()
    for each in (member, other):
        await hub.join(each, [make_request(shipment)])
    count, seconds = observed()

    for pieces in range(1, UPDATES + 1):
        await amend(by, shipment, pieces)
        await number_all()
    for each in (member, other):
        await each.wait_for(1 + UPDATES)
    await asyncio.sleep(0)  # the flush observes after its last write

    count_after, seconds_after = observed()
    assert count_after - count == UPDATES
    assert 0 < seconds_after - seconds < UPDATES * 2.5


async def _nothing_else(_: RoomHub, __: pytest.MonkeyPatch) -> None:
    """Leave the hints as they are."""


async def _lose_a_hint(hub: RoomHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in hub.rooms.values():
        room.opened_at -= 2 * 3600  # type: ignore[union-attr]  # a room with a history
    handle_message = hub.handle_message
    lost: list[Any] = []

    def lose_first(message: dict[str, Any]) -> None:
        if message["type"] == "hint" and not lost:
            lost.append(message)
        else:
            handle_message(message)

    monkeypatch.setattr(hub, "handle_message", lose_first)


@pytest.mark.parametrize(
    ("disturb", "longest", "shortest"),
    [
        # A bulk request records all its events at its beginning, and commits them together much later.
        (_nothing_else, 5, 0),
        # Behind a lost hint nothing says when an event was committed but the event itself.
        (_lose_a_hint, 2 * 3605, 2 * 3600),
    ],
)
async def test_the_latency_of_the_feed_begins_at_the_commit(
    hub: RoomHub,
    monkeypatch: pytest.MonkeyPatch,
    disturb: Callable[[RoomHub, pytest.MonkeyPatch], Awaitable[None]],
    longest: float,
    shortest: float,
) -> None:
    by, shipment = await book_shipment()
    await number_all()
    member = Watcher()
    await hub.join(member, [feed_request(shipment.organization_id)])
    _, seconds = observed()
    await disturb(hub, monkeypatch)

    for pieces in (1, 2):
        await amend(by, shipment, pieces, now=datetime.now(UTC) - timedelta(hours=1))
        await number_all()
    await member.wait_for(3)
    await asyncio.sleep(0)  # the flush observes after its last write

    _, seconds_after = observed()
    assert shortest <= seconds_after - seconds < longest


@pytest.fixture
def wrong_clock() -> Iterator[None]:
    """Put this host an hour behind the database."""
    now = datetime.now(UTC).timestamp()
    clock.observe(before=now, database=now + 3600, after=now)
    yield
    clock.reset()


async def test_the_latency_is_true_on_a_host_whose_clock_is_wrong(hub: RoomHub, wrong_clock: None) -> None:
    by, shipment = await book_shipment()
    await number_all()
    member = Watcher()
    await hub.join(member, [join_request(shipment)])
    count, seconds = observed()

    await amend(by, shipment, 1, now=clock.now())
    await number_all()
    await member.wait_for(2)
    await asyncio.sleep(0)  # the flush observes after its last write

    count_after, seconds_after = observed()
    assert count_after - count == 1
    assert 0 < seconds_after - seconds < 5


async def test_nobody_waited_for_an_update_before_the_room_was_open(hub: RoomHub) -> None:
    by, shipment = await book_shipment()
    await number_all()
    await amend(by, shipment, 1, now=datetime.now(UTC) - timedelta(hours=1))
    member = Watcher()
    await hub.join(member, [feed_request(shipment.organization_id)])
    count, seconds = observed()

    await number_all()
    await member.wait_for(2)
    await asyncio.sleep(0)  # the flush observes after its last write

    count_after, seconds_after = observed()
    assert count_after - count == 1
    assert seconds_after - seconds < 5
