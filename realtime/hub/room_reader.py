"""The hub's reads: snapshots, log events and newest values, batched over concurrent joins.

After a restart thousands of sockets reconnect within seconds and join the same few rooms.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from monitoring.dependencies.batching import BatchLoader
from realtime.hub.latest_room import LatestRoom
from realtime.hub.log_room import LogRoom
from realtime.hub.replay_cache import ReplayCache
from realtime.hub.room_registry import LatestSource, RoomLog
from realtime.protocol.frames import Json


@dataclass(frozen=True, slots=True)
class MissingRange:
    """The events of a room with `after < number <= upto`."""

    room: LogRoom
    after: int
    upto: int


class RoomReader:
    """The reader of one hub."""

    def __init__(self) -> None:
        self._snapshot_loader: BatchLoader[LogRoom, Json] = BatchLoader.of_reads(_read_snapshots)
        self._range_loader: BatchLoader[MissingRange, list[Json]] = BatchLoader.of_reads(self._read_ranges)
        self._replay_cache = ReplayCache()

    async def snapshots(self, rooms: Iterable[LogRoom]) -> dict[LogRoom, Json]:
        """Return the current snapshot of each room; rooms whose subject is gone are left out."""
        return await self._snapshot_loader.load_many(rooms)

    async def events(self, ranges: Iterable[MissingRange]) -> dict[MissingRange, list[Json]]:
        """Return the events of each range, in order; fewer where the log was pruned."""
        return await self._range_loader.load_many(ranges)

    async def newest(self, rooms: Iterable[LatestRoom]) -> dict[uuid.UUID, tuple[int, Json]]:
        """Return `(version, value)` of each room without a history, by the room's key."""
        by_source: dict[LatestSource, list[uuid.UUID]] = defaultdict(list)
        for room in rooms:
            by_source[room.source].append(room.key)
        values: dict[uuid.UUID, tuple[int, Json]] = {}
        for source, keys in by_source.items():
            values |= await source.newest(keys)
        return values

    def clear(self) -> None:
        """Drop cached events: the numbers now belong to another history."""
        self._replay_cache.clear()

    async def _read_ranges(self, ranges: set[MissingRange]) -> dict[MissingRange, list[Json]]:
        ranges_by_room: dict[LogRoom, list[MissingRange]] = defaultdict(list)
        for missing in ranges:
            ranges_by_room[missing.room].append(missing)
        events_by_range: dict[MissingRange, list[Json]] = {}
        for room, room_ranges in ranges_by_room.items():
            # One query for each room, over the union of its ranges.
            after, upto = min(each.after for each in room_ranges), max(each.upto for each in room_ranges)
            events = await self._replay_cache.events(room, after, upto)
            complete = len(events) == upto - after
            events_by_range |= {
                each: events[each.after - after : each.upto - after]
                if complete
                else [event for event in events if each.after < room.log.number(event) <= each.upto]
                for each in room_ranges
            }
        return events_by_range


async def _read_snapshots(requested: set[LogRoom]) -> dict[LogRoom, Json]:
    rooms_by_log: dict[RoomLog, list[LogRoom]] = defaultdict(list)
    for room in requested:
        rooms_by_log[room.log].append(room)
    snapshots: dict[LogRoom, Json] = {}
    for log, rooms in rooms_by_log.items():
        by_key = await log.snapshots([room.key for room in rooms])
        snapshots |= {room: by_key[room.key] for room in rooms if room.key in by_key}
    return snapshots
