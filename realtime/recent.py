"""What was read of the rooms' logs a moment ago, kept for those who ask next.

After a restart the members of a room come back one after the other for half a minute, and all have missed the same.
A log only grows, so what it said it would say again: each event is read once, whoever asks.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from realtime.room import LogRoom
from realtime.rooms import Json

# Longer than the slowest comes back.
KEPT_SECONDS: Final = 60.0
# Over all rooms; some 20 MB.
MOST_EVENTS: Final = 10_000


@dataclass(eq=False, slots=True)
class _Kept:
    """The events with `after < number <= upto`."""

    after: int
    upto: int
    events: list[Json]

    def has(self, after: int) -> bool:
        """Whether reading behind `upto` is all that is missing to whoever wants what is behind `after`."""
        return self.after <= after <= self.upto


class Recent:
    """Of one hub."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def forget(self) -> None:
        """This will have everything read anew: the numbers belong to another history now."""
        self._kept = {}

    async def events(self, room: LogRoom, after: int, upto: int) -> list[Json]:
        """This will return the events with `after < number <= upto`, in order; raises what the reading raises."""
        group = room.name.group
        turn = self._turns.setdefault(group, asyncio.Lock())
        async with turn:  # who asks for the same meanwhile finds it here
            shelf = self._kept
            kept = shelf.get(group)
            if kept is None or not kept.has(after):
                kept = _Kept(after, after, [])
            if kept.upto < upto:
                fresh = await room.log.events(room.key, kept.upto, upto=upto, limit=upto - kept.upto)
                if len(fresh) < upto - kept.upto:
                    # Pruned, or not there yet: nothing to build upon.
                    return [event for event in [*kept.events, *fresh] if room.log.number(event) > after]
                kept = _Kept(kept.after, upto, [*kept.events, *fresh])
                self._keep(shelf, group, kept)
            return kept.events[after - kept.after : upto - kept.after]

    def _keep(self, shelf: dict[str, _Kept], group: str, kept: _Kept) -> None:
        shelf.pop(group, None)
        if sum(len(each.events) for each in shelf.values()) + len(kept.events) > MOST_EVENTS:
            return
        shelf[group] = kept
        asyncio.get_running_loop().call_later(KEPT_SECONDS, _expire, shelf, group, kept)


def _expire(shelf: dict[str, _Kept], group: str, kept: _Kept) -> None:
    if shelf.get(group) is kept:
        del shelf[group]
