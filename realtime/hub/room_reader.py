"""The hub's reads: snapshots, log events and newest values, batched over concurrent joins.

After a restart thousands of sockets reconnect within seconds and join the same few rooms.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from monitoring.dependencies.batching import BatchLoader
from realtime.hub.latest_room import LatestRoom
from realtime.hub.log_room import JoinRequest, LogRoom, snapshot_reason
from realtime.hub.replay_cache import ReplayCache
from realtime.hub.room_registry import LatestSource, RoomLog
from realtime.protocol import frames
from realtime.protocol.frames import Json


class RoomState(NamedTuple):
    """The snapshot of a room's subject, and the epoch that it was read in."""

    epoch: str
    snapshot: Json


@dataclass(frozen=True, slots=True)
class MissingRange:
    """The events of a room with `after < number <= upto`."""

    room: LogRoom
    after: int
    upto: int

    @classmethod
    def of(cls, room: LogRoom, request: JoinRequest, state: RoomState | None) -> Self | None:
        """Return the range that a resumed join is missing, None where it misses nothing or gets a snapshot."""
        after = request.since or 0
        if state is None or after >= (seq := state.snapshot["seq"]):
            return None
        if snapshot_reason(request, epoch=state.epoch, seq=seq, max_replay=frames.MAX_REPLAY):
            return None
        return cls(room, after, seq)


class RoomReader:
    """The reader of one hub."""

    def __init__(self) -> None:
        self._state_loader: BatchLoader[LogRoom, RoomState] = BatchLoader.of_reads(_read_states)
        self._range_loader: BatchLoader[MissingRange, list[Json]] = BatchLoader.of_reads(self._read_ranges)
        self._replay_cache = ReplayCache()

    async def states(self, rooms: Iterable[LogRoom]) -> dict[LogRoom, RoomState]:
        """Return the current state of each room; rooms whose subject is gone are left out."""
        return await self._state_loader.load_many(rooms)

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


async def _read_states(requested: set[LogRoom]) -> dict[LogRoom, RoomState]:
    rooms_by_log: dict[RoomLog, list[LogRoom]] = defaultdict(list)
    for room in requested:
        rooms_by_log[room.log].append(room)
    states: dict[LogRoom, RoomState] = {}
    for log, rooms in rooms_by_log.items():
        epoch, snapshots = await log.snapshots([room.key for room in rooms])
        states |= {room: RoomState(epoch, snapshots[room.key]) for room in rooms if room.key in snapshots}
    return states
