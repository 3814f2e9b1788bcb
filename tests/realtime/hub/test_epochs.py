"""The database is restored under a running hub: every member gets a snapshot, whatever fails meanwhile."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime.hub.log_room import JoinRequest
from realtime.hub.room_hub import RoomHub
from realtime.protocol import room_names
from realtime.protocol.room_names import RoomName
from shipments.models import Shipment
from shipments.selectors import async_reads
from tests import factories
from tests.realtime.hub.members import Socket, Watcher, amend, book_shipment, join_request

pytestmark = pytest.mark.usefixtures("committed")
new_epoch = sync_to_async(factories.new_epoch)


def feed_request(shipment: Shipment) -> JoinRequest:
    organization_id = shipment.organization_id
    return JoinRequest(
        RoomName("feed", organization_id, room_names.FEED, room_names.feed_group(organization_id)), None, None
    )


def driver_request(shipment: Shipment) -> JoinRequest:
    key = shipment.driver_id
    assert key is not None
    return JoinRequest(RoomName("driver", key, f"driver:{key}", room_names.driver_group(key)), None, None)


def reasons(member: Socket) -> dict[str, list[str]]:
    """Return the reasons of the snapshots of each room, in order."""
    by_room: dict[str, list[str]] = {}
    for frame in member.frames:
        by_room.setdefault(frame["room"], []).append(frame["reason"])
    return by_room


async def test_the_sweep_sends_the_members_of_every_room_a_snapshot(hub: RoomHub) -> None:
    by, shipment = await book_shipment()
    member = Watcher()
    assert shipment.driver is not None
    await sync_to_async(factories.report_position)(shipment.driver, 51.9, 4.5)
    await hub.join(member, [join_request(shipment), feed_request(shipment), driver_request(shipment)])

    epoch = await new_epoch()
    await hub.sweep()
    await amend(by, shipment, 2)
    await hub.sweep()
    await member.wait_for_update()

    update = member.frames.pop()
    assert reasons(member) == {
        name: ["new", "epoch"]
        for name in (f"shipment:{shipment.reference}", "shipments:all", f"driver:{shipment.driver_id}")
    }
    assert {frame["epoch"] for frame in member.frames[3:] if "epoch" in frame} == {epoch}
    assert (update["epoch"], update["seq"]) == (epoch, 2)


async def test_a_join_before_the_sweep_is_answered_in_the_epoch_of_its_snapshot(hub: RoomHub) -> None:
    _, shipment = await book_shipment()
    _, other = await book_shipment()
    before = await async_reads.current_epoch()
    inside, late = Socket(), Socket()
    await hub.join(inside, [join_request(other)])

    epoch = await new_epoch()
    await hub.join(late, [join_request(shipment, since=1, epoch=before)])

    assert [(frame["recovered"], frame["reason"], frame["epoch"]) for frame in late.frames] == [
        (False, "epoch", epoch)
    ]
    assert [frame["reason"] for frame in inside.frames] == ["new", "epoch"]


async def test_a_snapshot_that_could_not_be_read_is_sent_by_the_next_sweep(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, shipment = await book_shipment()
    member = Socket()
    await hub.join(member, [join_request(shipment)])
    epoch = await new_epoch()

    async def fails(_: Any) -> Any:
        raise OSError("away")

    with monkeypatch.context() as patched:
        patched.setattr(hub.reader, "states", fails)
        with pytest.raises(OSError, match="away"):
            await hub.sweep()
    await hub.sweep()

    assert [(frame["reason"], frame["epoch"] == epoch) for frame in member.frames] == [
        ("new", False),
        ("epoch", True),
    ]


async def test_events_of_a_fill_that_was_under_way_are_of_the_history_before(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await book_shipment()
    member = Socket()
    await hub.join(member, [join_request(shipment)])
    room: Any = hub.rooms[join_request(shipment).room.group]
    began, finish = asyncio.Event(), asyncio.Event()
    fetch = async_reads.fetch_events

    async def fetch_slowly(*args: Any, **kwargs: Any) -> Any:
        began.set()
        await finish.wait()
        events = await fetch(*args, **kwargs)
        return [{**event, "seq": event["seq"] + 1} for event in events]  # the first after the snapshot

    with monkeypatch.context() as patched:
        patched.setattr(async_reads, "fetch_events", fetch_slowly)
        patched.setattr(hub, "handle_message", lambda _: None)
        await amend(by, shipment, 2)
        room.known_seq, room.filling = 2, True
        filling = asyncio.create_task(hub._fill(room))
        await began.wait()
        await new_epoch()
        await hub.sweep()
        finish.set()
        await filling

    assert [(frame.get("reason"), frame["seq"]) for frame in member.frames] == [("new", 1), ("epoch", 2)]


async def test_a_shipment_that_the_restored_database_lacks_ends_its_room(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, shipment = await book_shipment()
    member = Socket()
    await hub.join(member, [join_request(shipment)])

    async def without_shipments(_: Any) -> Any:
        return await async_reads.current_epoch(), {}

    monkeypatch.setattr(async_reads, "fetch_snapshots", without_shipments)
    await new_epoch()
    await hub.sweep()

    assert [frame["type"] for frame in member.frames] == ["room:joined", "room:left"]
    assert hub.rooms == {}


async def test_a_head_below_what_was_delivered_is_a_new_epoch_at_once(hub: RoomHub) -> None:
    _, shipment = await book_shipment()
    member = Socket()
    await hub.join(member, [join_request(shipment)])
    before = await async_reads.current_epoch()
    room: Any = hub.rooms[join_request(shipment).room.group]
    room.head = room.known_seq = 3  # delivered, and then lost

    await hub.sweep()

    assert [(frame["reason"], frame["seq"]) for frame in member.frames] == [("new", 1), ("epoch", 1)]
    assert member.frames[1]["epoch"] == await async_reads.current_epoch() != before


async def test_a_hint_during_a_sweep_is_no_head_that_fell(hub: RoomHub, monkeypatch: pytest.MonkeyPatch) -> None:
    by, shipment = await book_shipment()
    member = Socket()
    await hub.join(member, [join_request(shipment)])
    before, fetch = await async_reads.current_epoch(), async_reads.fetch_heads
    room: Any = hub.rooms[join_request(shipment).room.group]

    async def fetch_and_write(keys: Any) -> Any:
        heads = await fetch(keys)
        await amend(by, shipment, 2)
        room.apply_hint(2, None)  # a hint by Redis may be lost, and no sweep finds the event here
        hub.fill_if_behind(room)
        await member.wait_for_seq(2)
        return heads

    monkeypatch.setattr(async_reads, "fetch_heads", fetch_and_write)
    await hub.sweep()

    assert await async_reads.current_epoch() == before
    assert len(member.frames) == 2
