"""When a room with a history is written: at the end of a turn of the loop, all that it was given in it together."""

import asyncio
from typing import Final

from realtime import metrics
from realtime.hub.log_room import LogRoom

# A room of so many members rests after a write, for about the time that the kernel takes for each of them.
LARGE_ROOM_MEMBERS: Final = 100
WRITE_SECONDS_PER_MEMBER: Final = 10e-6
MAX_PAUSE_SECONDS: Final = 0.05


class RoomFlusher:
    """Of one hub."""

    def __init__(self) -> None:
        # Rooms that have something to write, and when that was committed.
        self._pending: dict[LogRoom, list[float]] = {}

    def schedule(self, room: LogRoom, committed_at: float | None = None) -> None:
        """Write to a room at the end of this turn of the loop, with whatever else it is given in it.

        A large room then rests for as long as that takes: of a burst most comes meanwhile, and leaves together.
        """
        if room not in self._pending:
            self._pending[room] = []
            loop = asyncio.get_running_loop()
            if room.paused_until > loop.time():
                loop.call_at(room.paused_until, self._flush, room)
            else:
                loop.call_soon(self._flush, room)
        if committed_at is not None:
            self._pending[room].append(committed_at)

    def _flush(self, room: LogRoom) -> None:
        committed, members = self._pending.pop(room), len(room.members)
        room.flush()
        if members >= LARGE_ROOM_MEMBERS:
            room.paused_until = asyncio.get_running_loop().time() + min(
                members * WRITE_SECONDS_PER_MEMBER, MAX_PAUSE_SECONDS
            )
        metrics.observe_delivery(committed)
