"""What was read of the rooms' logs a moment ago, kept for those who ask next.

After a restart the members of a room come back one after the other for half a minute, and all have missed the same.
A log only grows, so what it said it would say again: each event is read once, whoever asks.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from realtime.hub.log_room import LogRoom
from realtime.protocol.frames import Json

# Longer than the slowest comes back.
TTL_SECONDS: Final = 60.0
# Over all rooms; some 20 MB.
MAX_EVENTS: Final = 10_000


@dataclass(eq=False, slots=True)
class _CachedRange:
    """The events with `after < number <= upto`."""

    after: int
    upto: int
    events: list[Json]

    def covers(self, after: int) -> bool:
        """Whether reading behind `upto` is all that is missing to whoever wants what is behind `after`."""
        return self.after <= after <= self.upto


class ReplayCache:
    """Of one hub."""

    def __init__(self) -> None:
        self._ranges: dict[str, _CachedRange] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def clear(self) -> None:
        """Have everything read anew: the numbers belong to another history now."""
        self._ranges = {}

    async def events(self, room: LogRoom, after: int, upto: int) -> list[Json]:
        """Return the events with `after < number <= upto`, in order; raises what the reading raises."""
        group = room.name.group
        lock = self._locks.setdefault(group, asyncio.Lock())
        async with lock:  # who asks for the same meanwhile finds it here
            ranges = self._ranges
            cached = ranges.get(group)
            if cached is None or not cached.covers(after):
                cached = _CachedRange(after, after, [])
            if cached.upto < upto:
                new_events = await room.log.events(room.key, cached.upto, upto=upto, limit=upto - cached.upto)
                if len(new_events) < upto - cached.upto:
                    # Pruned, or not there yet: nothing to build upon.
                    return [event for event in [*cached.events, *new_events] if room.log.number(event) > after]
                cached = _CachedRange(cached.after, upto, [*cached.events, *new_events])
                self._store(ranges, group, cached)
            return cached.events[after - cached.after : upto - cached.after]

    def _store(self, ranges: dict[str, _CachedRange], group: str, cached: _CachedRange) -> None:
        ranges.pop(group, None)
        if sum(len(each.events) for each in ranges.values()) + len(cached.events) > MAX_EVENTS:
            return
        ranges[group] = cached
        asyncio.get_running_loop().call_later(TTL_SECONDS, _expire, ranges, group, cached)


def _expire(ranges: dict[str, _CachedRange], group: str, cached: _CachedRange) -> None:
    if ranges.get(group) is cached:
        del ranges[group]
