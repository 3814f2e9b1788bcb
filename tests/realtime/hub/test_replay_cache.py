"""Each event is read once for all that reconnect, unless the log changes its epoch or a read is incomplete."""

import asyncio
import uuid
from typing import Any

import pytest

from realtime.hub.log_room import LogRoom
from realtime.hub.replay_cache import ReplayCache
from realtime.protocol.room_names import RoomName


class RecordingLog:
    """A log of `length` events that records the ranges that were read."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.reads: list[tuple[int, int]] = []

    async def events(self, _: uuid.UUID, after: int, *, upto: int, limit: int) -> list[dict[str, Any]]:
        self.reads.append((after, upto))
        await asyncio.sleep(0)
        assert limit == upto - after
        return [{"seq": seq} for seq in range(after + 1, min(upto, self.length) + 1)]

    def number(self, event: dict[str, Any]) -> int:
        return int(event["seq"])


@pytest.fixture
def log() -> RecordingLog:
    return RecordingLog(30)


@pytest.fixture
def room(log: RecordingLog) -> LogRoom:
    return LogRoom(RoomName("shipment", "SHIP-1", "shipment.1", uuid.uuid4()), log)  # type: ignore[arg-type]  # not the whole RoomLog


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events]


async def test_a_replay_within_a_cached_range_costs_no_read(log: RecordingLog, room: LogRoom) -> None:
    cache = ReplayCache()

    replays = [await cache.events(room, after, 30) for after in (10, 10, 20, 29)]

    assert [seqs(each) for each in replays] == [list(range(after, 31)) for after in (11, 11, 21, 30)]
    assert log.reads == [(10, 30)]


async def test_concurrent_replays_share_one_read(log: RecordingLog, room: LogRoom) -> None:
    cache = ReplayCache()

    replays = await asyncio.gather(*(cache.events(room, 5, 30) for _ in range(20)))

    assert all(seqs(each) == list(range(6, 31)) for each in replays)
    assert log.reads == [(5, 30)]


async def test_only_newer_events_are_read(log: RecordingLog, room: LogRoom) -> None:
    cache = ReplayCache()

    await cache.events(room, 10, 20)
    replay = await cache.events(room, 15, 30)

    assert seqs(replay) == list(range(16, 31))
    assert log.reads == [(10, 20), (20, 30)]


async def test_a_longer_replay_replaces_the_cached_range(log: RecordingLog, room: LogRoom) -> None:
    cache = ReplayCache()

    for after in (20, 3, 20):
        assert seqs(await cache.events(room, after, 30)) == list(range(after + 1, 31))

    assert log.reads == [(20, 30), (3, 30)]


async def test_a_cleared_cache_reads_again(log: RecordingLog, room: LogRoom) -> None:
    cache = ReplayCache()
    await cache.events(room, 10, 30)

    cache.clear()
    await cache.events(room, 10, 30)

    assert log.reads == [(10, 30)] * 2


async def test_an_incomplete_read_is_not_cached(log: RecordingLog, room: LogRoom) -> None:
    cache = ReplayCache()

    incomplete = await cache.events(room, 28, 32)
    log.length = 32
    complete = await cache.events(room, 28, 32)

    assert (seqs(incomplete), seqs(complete)) == ([29, 30], [29, 30, 31, 32])
