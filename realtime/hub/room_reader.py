"""What a hub reads: the log, for many joins by few queries; the newest values.

After a restart thousands of sockets come back within seconds and want the same few rooms.
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
    """What one hub reads."""

    def __init__(self) -> None:
        self._snapshot_loader: BatchLoader[LogRoom, Json] = BatchLoader(_read_snapshots)
        self._range_loader: BatchLoader[MissingRange, list[Json]] = BatchLoader(self._read_ranges)
        self._replay_cache = ReplayCache()

    async def snapshots(self, rooms: Iterable[LogRoom]) -> dict[LogRoom, Json]:
        """Return today's state of each room; what is gone is left out."""
        return await self._snapshot_loader.load_many(rooms)

    async def events(self, spans: Iterable[MissingRange]) -> dict[MissingRange, list[Json]]:
        """Return the events of each span, in order."""
        return await self._range_loader.load_many(spans)

    async def newest(self, rooms: Iterable[LatestRoom]) -> dict[uuid.UUID, tuple[int, Json]]:
        """Return the newest value of each room without a history, with its version, by the room's key."""
        by_source: dict[LatestSource, list[uuid.UUID]] = defaultdict(list)
        for room in rooms:
            by_source[room.source].append(room.key)
        values: dict[uuid.UUID, tuple[int, Json]] = {}
        for source, keys in by_source.items():
            values |= await source.newest(keys)
        return values

    def clear(self) -> None:
        """Have everything read anew: the numbers belong to another history now."""
        self._replay_cache.clear()

    async def _read_ranges(self, ranges: set[MissingRange]) -> dict[MissingRange, list[Json]]:
        ranges_by_room: dict[LogRoom, list[MissingRange]] = defaultdict(list)
        for missing in ranges:
            ranges_by_room[missing.room].append(missing)
        events_by_range: dict[MissingRange, list[Json]] = {}
        for room, room_ranges in ranges_by_room.items():
            # One query a room, from the one who is furthest behind to the one who knows most.
            after, upto = min(span.after for span in room_ranges), max(span.upto for span in room_ranges)
            events = await self._replay_cache.events(room, after, upto)
            complete = len(events) == upto - after
            events_by_range |= {
                span: events[span.after - after : span.upto - after]
                if complete
                else [event for event in events if span.after < room.log.number(event) <= span.upto]
                for span in room_ranges
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
