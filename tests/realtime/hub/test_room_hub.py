"""The hub on the real log: in whatever order hints arrive, each member's record is the log."""

import asyncio
import random
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime.hub import sweep
from realtime.hub.room_hub import RoomHub
from realtime.protocol import frames, room_names
from shipments import services
from shipments.selectors import async_reads
from tests import factories
from tests.factories import NOW
from tests.realtime.hub.members import (
    Socket,
    Watcher,
    amend,
    book_shipment,
    feed_request,
    join_request,
    number_all,
)

pytestmark = pytest.mark.usefixtures("committed")


async def test_a_member_receives_every_event_committed_after_its_join(hub: RoomHub) -> None:
    by, shipment = await book_shipment()
    socket = Socket()
    await hub.join(socket, [join_request(shipment)])

    for pieces in range(1, 6):
        await amend(by, shipment, pieces)

    await socket.wait_for_seq(6)
    assert socket.seqs == [1, 2, 3, 4, 5, 6]
    assert socket.snapshot == (await async_reads.fetch_snapshots([shipment.pk]))[1][shipment.pk]


async def test_a_resumed_join_is_answered_with_the_missed_events(hub: RoomHub) -> None:
    by, shipment = await book_shipment()
    for pieces in range(1, 6):
        await amend(by, shipment, pieces)
    socket = Socket()

    await hub.join(socket, [join_request(shipment, since=3, epoch=await async_reads.current_epoch())])

    assert [frame["recovered"] for frame in socket.frames] == [True]
    assert socket.seqs == [4, 5, 6]


@pytest.mark.parametrize(
    ("since", "epoch", "reason"),
    [(None, None, "new"), (1, "another", "epoch"), (99, None, "epoch")],
)
async def test_a_join_that_cannot_be_resumed_is_answered_with_a_snapshot(
    hub: RoomHub, since: int | None, epoch: str | None, reason: str
) -> None:
    _, shipment = await book_shipment()
    socket = Socket()

    await hub.join(socket, [join_request(shipment, since, epoch)])

    assert [(f["recovered"], f["reason"], f["seq"]) for f in socket.frames] == [(False, reason, 1)]


async def test_a_replay_of_too_many_events_becomes_a_snapshot(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await book_shipment()
    for pieces in range(1, 5):
        await amend(by, shipment, pieces)
    monkeypatch.setattr(frames, "MAX_REPLAY", 3)
    socket = Socket()

    await hub.join(socket, [join_request(shipment, since=1)])

    assert [frame["reason"] for frame in socket.frames] == ["too_far"]


async def test_a_replay_of_too_many_bytes_becomes_a_snapshot(hub: RoomHub, monkeypatch: pytest.MonkeyPatch) -> None:
    by, shipment = await book_shipment()
    for pieces in range(1, 5):
        await amend(by, shipment, pieces)
    monkeypatch.setattr(frames, "MAX_REPLAY_BYTES", 500)
    socket = Socket()

    await hub.join(socket, [join_request(shipment, since=1)])

    assert [(frame["recovered"], frame["reason"], frame["seq"]) for frame in socket.frames] == [
        (False, "too_far", 5)
    ]


async def test_long_answers_drain_the_socket_and_miss_nothing_meanwhile(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [await book_shipment() for _ in range(6)]
    early = Watcher()
    await hub.join(early, [join_request(shipment) for _, shipment in pairs])
    monkeypatch.setattr(frames, "MAX_REPLAY_BYTES", 100)  # shorter than any answer
    late = Watcher()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hub.join(late, [join_request(shipment) for _, shipment in pairs]))
        for by, shipment in pairs:
            await amend(by, shipment, 1)
    await hub.sweep()
    for _ in range(400):  # twenty seconds
        last_by_room = {frame["room"]: frame for frame in late.frames}
        if all(frame["seq"] == 2 for frame in last_by_room.values()):
            break
        await asyncio.sleep(0.05)

    assert late.drains == len(pairs)
    assert {name: frame["seq"] for name, frame in last_by_room.items()} == {
        room_names.shipment_room(shipment.reference): 2 for _, shipment in pairs
    }


async def test_without_any_hint_the_sweep_delivers_everything(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await book_shipment()
    socket = Socket()
    await hub.join(socket, [join_request(shipment)])
    monkeypatch.setattr(hub, "handle_message", lambda _: None)

    for pieces in range(1, 4):
        await amend(by, shipment, pieces)

    await socket.wait_for_seq(4, seconds=2.5)
    assert socket.seqs == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(8))
async def test_hints_dropped_doubled_and_out_of_order_change_nothing(
    hub: RoomHub, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    by, shipment = await book_shipment()
    handle_message = hub.handle_message
    delayed: list[dict[str, Any]] = []

    def deliver_disturbed(message: dict[str, Any]) -> None:
        fate = chance.random()
        if fate < 0.25:
            return
        if fate < 0.5:
            delayed.append(message)
            return
        for each in (message, *delayed, message):
            handle_message(each)
        delayed.clear()

    monkeypatch.setattr(hub, "handle_message", deliver_disturbed)
    sockets: list[Socket] = []
    for pieces in range(1, 30):
        if chance.random() < 0.3:
            sockets.append(Socket())
            await hub.join(
                sockets[-1], [join_request(shipment, since=chance.choice([None, 1, pieces - 1]) or None)]
            )
        await amend(by, shipment, pieces)
    late = Socket()
    await hub.join(late, [join_request(shipment)])

    await asyncio.gather(*(socket.wait_for_seq(30) for socket in sockets))

    for socket in sockets:
        assert socket.seqs == list(range(socket.seqs[0], 31))
    assert late.seqs == [30]


async def test_a_filled_frame_equals_the_published_one(hub: RoomHub, monkeypatch: pytest.MonkeyPatch) -> None:
    by, shipment = await book_shipment()
    by_hint, by_fill = Socket(), Socket()
    await hub.join(by_hint, [join_request(shipment)])
    hintless = RoomHub()
    monkeypatch.setattr(hintless, "handle_message", lambda _: None)
    await hintless.join(by_fill, [join_request(shipment)])

    for pieces in range(1, 4):
        await amend(by, shipment, pieces)
    await asyncio.gather(by_hint.wait_for_seq(4), by_fill.wait_for_seq(4))
    await hintless.stop()

    assert by_fill.frames[1:] == by_hint.frames[1:]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each query of the log."""
    reads: list[int] = []
    read = async_reads.fetch_events

    async def counted(*args: Any, **kwargs: Any) -> Any:
        reads.append(1)
        return await read(*args, **kwargs)

    monkeypatch.setattr(async_reads, "fetch_events", counted)
    return reads


async def test_members_of_one_room_cost_one_fill(
    hub: RoomHub, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await book_shipment()
    sockets = [Socket() for _ in range(20)]
    for socket in sockets:
        await hub.join(socket, [join_request(shipment)])
    monkeypatch.setattr(hub, "handle_message", lambda _: None)
    for pieces in range(1, 6):
        await amend(by, shipment, pieces)

    await hub.sweep()
    await asyncio.gather(*(socket.wait_for_seq(6) for socket in sockets))

    assert len(reads) == 1


async def test_a_sweep_waits_a_moment_for_hints_under_way(
    hub: RoomHub, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await book_shipment()
    socket = Socket()
    await hub.join(socket, [join_request(shipment)])
    handle_message = hub.handle_message
    queued: asyncio.Queue[Any] = asyncio.Queue()
    monkeypatch.setattr(hub, "handle_message", queued.put_nowait)
    await amend(by, shipment, 1)
    hint = await queued.get()

    sweeping = asyncio.create_task(hub.sweep())
    await asyncio.sleep(sweep.GRACE_SECONDS / 2)
    assert socket.seqs == [1]
    handle_message(hint)
    await sweeping

    await socket.wait_for_seq(2)
    assert reads == []


async def test_a_failing_latest_room_does_not_stop_log_rooms_from_being_healed(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await book_shipment()
    socket = Socket()
    await hub.join(socket, [join_request(shipment)])
    monkeypatch.setattr(hub, "handle_message", lambda _: None)

    async def fails(_: Any) -> Any:
        raise OSError("away")

    monkeypatch.setattr(hub.reader, "newest", fails)
    await amend(by, shipment, 1)
    with pytest.raises(OSError, match="away"):
        await hub.sweep()

    await socket.wait_for_seq(2)


async def test_a_discarded_draft_ends_its_room(hub: RoomHub) -> None:
    by = await sync_to_async(lambda: factories.member(factories.organization(), "dispatcher"))()
    draft = await sync_to_async(factories.booked_shipment)(by, status="draft")
    socket = Socket()
    await hub.join(socket, [join_request(draft)])

    await sync_to_async(services.discard)(by=by, now=NOW, reference=draft.reference)
    await socket.wait_for_seq(2)

    assert [frame["type"] for frame in socket.frames] == ["room:joined", "shipment:update", "room:left"]
    assert hub.rooms == {}


async def test_a_room_ends_with_its_last_member(hub: RoomHub) -> None:
    _, shipment = await book_shipment()
    one, other = Socket(), Socket()
    await hub.join(one, [join_request(shipment)])
    await hub.join(other, [join_request(shipment)])

    assert hub.leave(one, join_request(shipment).room.group) is True
    assert list(hub.rooms) == [join_request(shipment).room.group]
    assert hub.leave(other, join_request(shipment).room.group) is True
    assert hub.rooms == {}
    assert hub.leave(other, join_request(shipment).room.group) is False


async def test_a_socket_that_closed_during_its_join_is_not_added(hub: RoomHub) -> None:
    _, shipment = await book_shipment()
    socket = Socket()
    socket.closed = True

    await hub.join(socket, [join_request(shipment)])

    assert hub.rooms == {}


async def test_a_discarded_draft_does_not_end_the_feed(hub: RoomHub) -> None:
    by = await sync_to_async(lambda: factories.member(factories.organization(), "dispatcher"))()
    draft = await sync_to_async(factories.booked_shipment)(by, status="draft")
    await number_all()
    socket = Watcher()
    await hub.join(socket, [feed_request(by.organization_id)])

    await sync_to_async(services.discard)(by=by, now=NOW, reference=draft.reference)
    await sync_to_async(factories.booked_shipment)(by)
    await number_all()
    await socket.wait_for(3)

    assert [frame["type"] for frame in socket.frames] == ["room:joined", "shipment:update", "shipment:update"]
