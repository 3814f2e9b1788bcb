"""When the frames of a log room are written: together, at the end of the event loop's iteration."""

import asyncio
from typing import Final

from realtime import metrics
from realtime.hub.log_room import LogRoom

# A room with this many members pauses after a write, for about the time that the kernel needs for all of them.
LARGE_ROOM_MEMBERS: Final = 100
WRITE_SECONDS_PER_MEMBER: Final = 10e-6
MAX_PAUSE_SECONDS: Final = 0.05


class RoomFlusher:
    """Schedules the flushes of one hub's rooms."""

    def __init__(self) -> None:
        # Commit times (seconds since 1970) of the frames to write, by room.
        self._pending: dict[LogRoom, list[float]] = {}

    def schedule(self, room: LogRoom, committed_at: float) -> None:
        """Flush a room at the end of this iteration of the event loop, with everything appended until then.

        A large room then pauses for about as long as the write takes: the frames of a burst arrive meanwhile and
        leave in one write. `committed_at` is observed as delivery latency.
        """
        if room not in self._pending:
            self._pending[room] = []
            loop = asyncio.get_running_loop()
            if room.paused_until > loop.time():
                loop.call_at(room.paused_until, self._flush, room)
            else:
                loop.call_soon(self._flush, room)
        self._pending[room].append(committed_at)

    def _flush(self, room: LogRoom) -> None:
        committed, members = self._pending.pop(room), len(room.members)
        room.flush()
        if members >= LARGE_ROOM_MEMBERS:
            room.paused_until = asyncio.get_running_loop().time() + min(
                members * WRITE_SECONDS_PER_MEMBER, MAX_PAUSE_SECONDS
            )
        metrics.observe_delivery(committed)
