"""When a room with a history is written: at the end of a turn of the loop, all that it was given in it together."""

import asyncio
from typing import Final

from realtime import metrics
from realtime.room import LogRoom

# A room of so many members rests after a write, for about the time that the kernel takes for each of them.
LARGE_ROOM: Final = 100
WRITE_SECONDS: Final = 10e-6
MOST_REST_SECONDS: Final = 0.05


class Writer:
    """Of one hub."""

    def __init__(self) -> None:
        # Rooms that have something to write, and when that was committed.
        self._given: dict[LogRoom, list[float]] = {}

    def later(self, room: LogRoom, committed_at: float | None = None) -> None:
        """This will write to a room at the end of this turn of the loop, with whatever else it is given in it.

        A large room then rests for as long as that takes: of a burst most comes meanwhile, and leaves together.
        """
        if room not in self._given:
            self._given[room] = []
            loop = asyncio.get_running_loop()
            if room.rests_until > loop.time():
                loop.call_at(room.rests_until, self._write, room)
            else:
                loop.call_soon(self._write, room)
        if committed_at is not None:
            self._given[room].append(committed_at)

    def _write(self, room: LogRoom) -> None:
        committed, members = self._given.pop(room), len(room.members)
        room.write()
        if members >= LARGE_ROOM:
            room.rests_until = asyncio.get_running_loop().time() + min(members * WRITE_SECONDS, MOST_REST_SECONDS)
        metrics.delivered(committed)
