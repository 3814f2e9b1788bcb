"""What a hub reads: the log, for many joins by few queries; the newest values.

After a restart thousands of sockets come back within seconds and want the same few rooms.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from realtime.gather import Gathered
from realtime.latest import LatestRoom
from realtime.recent import Recent
from realtime.room import LogRoom
from realtime.rooms import Json, Latest, Log


@dataclass(frozen=True, slots=True)
class Span:
    """The events of a room with `after < number <= upto`."""

    room: LogRoom
    after: int
    upto: int


class Reads:
    """What one hub reads."""

    def __init__(self) -> None:
        self._states: Gathered[LogRoom, Json] = Gathered(_read_states)
        self._spans: Gathered[Span, list[Json]] = Gathered(self._read_spans)
        self._recent = Recent()

    async def states(self, rooms: Iterable[LogRoom]) -> dict[LogRoom, Json]:
        """This will return today's state of each room; what is gone is left out."""
        return await self._states.ask(rooms)

    async def spans(self, spans: Iterable[Span]) -> dict[Span, list[Json]]:
        """This will return the events of each span, in order."""
        return await self._spans.ask(spans)

    async def newest(self, rooms: Iterable[LatestRoom]) -> dict[uuid.UUID, tuple[int, Json]]:
        """This will return the newest value of each room without a history, with its version, by the room's key."""
        by_source: dict[Latest, list[uuid.UUID]] = defaultdict(list)
        for room in rooms:
            by_source[room.latest].append(room.key)
        shown: dict[uuid.UUID, tuple[int, Json]] = {}
        for source, keys in by_source.items():
            shown |= await source.newest(keys)
        return shown

    def forget(self) -> None:
        """This will have everything read anew: the numbers belong to another history now."""
        self._recent.forget()

    async def _read_spans(self, asked: set[Span]) -> dict[Span, list[Json]]:
        by_room: dict[LogRoom, list[Span]] = defaultdict(list)
        for span in asked:
            by_room[span.room].append(span)
        found: dict[Span, list[Json]] = {}
        for room, spans in by_room.items():
            # One query a room, from the one who is furthest behind to the one who knows most.
            after, upto = min(span.after for span in spans), max(span.upto for span in spans)
            events = await self._recent.events(room, after, upto)
            whole = len(events) == upto - after
            found |= {
                span: events[span.after - after : span.upto - after]
                if whole
                else [event for event in events if span.after < room.log.number(event) <= span.upto]
                for span in spans
            }
        return found


async def _read_states(asked: set[LogRoom]) -> dict[LogRoom, Json]:
    by_log: dict[Log, list[LogRoom]] = defaultdict(list)
    for room in asked:
        by_log[room.log].append(room)
    found: dict[LogRoom, Json] = {}
    for log, rooms in by_log.items():
        shown = await log.snapshots([room.key for room in rooms])
        found |= {room: shown[room.key] for room in rooms if room.key in shown}
    return found
