"""The replay cache: recently read log events, for the members that reconnect next.

After a restart the members of a room reconnect over half a minute, and all have missed the same events. A log only
grows, so a range that was read once stays valid: each event is read once for all of them.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from realtime.hub.log_room import LogRoom
from realtime.protocol.frames import Json

# Longer than the slowest client waits before it reconnects (30 s).
TTL_SECONDS: Final = 60.0
# Over all rooms; about 20 MB.
MAX_EVENTS: Final = 10_000


@dataclass(eq=False, slots=True)
class _CachedRange:
    """The events with `after < number <= upto`."""

    after: int
    upto: int
    events: list[Json]

    def covers(self, after: int) -> bool:
        """Return whether the events after `after` can be served from here, but for those beyond `upto`."""
        return self.after <= after <= self.upto


class ReplayCache:
    """The cache of one hub, by group; entries expire after TTL_SECONDS."""

    def __init__(self) -> None:
        self._ranges: dict[str, _CachedRange] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def clear(self) -> None:
        """Drop everything: the numbers now belong to another history."""
        self._ranges = {}

    async def events(self, room: LogRoom, after: int, upto: int) -> list[Json]:
        """Return the events with `after < number <= upto` in order.

        Concurrent calls for a room share one query. Raise what the log raises.
        """
        group = room.name.group
        lock = self._locks.setdefault(group, asyncio.Lock())
        async with lock:  # single-flight for each room
            ranges = self._ranges
            cached = ranges.get(group)
            if cached is None or not cached.covers(after):
                cached = _CachedRange(after, after, [])
            if cached.upto < upto:
                new_events = await room.log.events(room.key, cached.upto, upto=upto, limit=upto - cached.upto)
                if len(new_events) < upto - cached.upto:
                    # Pruned or not committed yet: the range has a gap and must not be cached.
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
