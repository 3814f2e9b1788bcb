"""The log, read for many joins by few queries.

After a restart thousands of sockets come back within seconds and want the same few rooms. Whoever asks while a
read is under way is answered by the next one, together with all others who ask meanwhile: a read always begins
after it was asked for, so nobody is told of an older state, and what is asked for twice is read once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from realtime.recent import Recent
from realtime.room import LogRoom
from realtime.rooms import Json, Log

Asked = TypeVar("Asked", bound=Hashable)
Found = TypeVar("Found")

READS_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Span:
    """The events of a room with `after < number <= upto`."""

    room: LogRoom
    after: int
    upto: int


@dataclass(slots=True)
class _Batch(Generic[Asked, Found]):
    asked: set[Asked] = field(default_factory=set)
    reading: "asyncio.Task[Mapping[Asked, Found]] | None" = None


class Gathered(Generic[Asked, Found]):
    """Answers many by few calls of `read`, at most two at a time; what is not found is left out."""

    def __init__(self, read: Callable[[set[Asked]], Awaitable[Mapping[Asked, Found]]]) -> None:
        self._read = read
        self._turns = asyncio.Semaphore(READS_AT_ONCE)
        self._next: _Batch[Asked, Found] | None = None

    async def ask(self, asked: Iterable[Asked]) -> dict[Asked, Found]:
        """This will return what was found; raises what the reading raises."""
        wanted = list(asked)
        if not wanted:
            return {}
        if self._next is None:
            self._next = _Batch()
            self._next.reading = asyncio.create_task(self._work(self._next))
            # Whoever asked may be gone by then.
            self._next.reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        batch = self._next
        batch.asked.update(wanted)
        assert batch.reading is not None  # noqa: S101  made with it
        found = await asyncio.shield(batch.reading)
        return {each: found[each] for each in wanted if each in found}

    async def _work(self, batch: _Batch[Asked, Found]) -> Mapping[Asked, Found]:
        async with self._turns:
            self._next = None  # who asks from now on is for the next
            return await self._read(batch.asked)


class Reads:
    """What joins read of the rooms with a history."""

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
