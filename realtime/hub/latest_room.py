"""A room without a history (positions, progress): the newest value wins, faster ones are conflated."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Final

from realtime.hub.delivery import DirectSender, broadcast
from realtime.hub.log_room import Member
from realtime.hub.room_registry import LatestSource
from realtime.protocol.room_names import RoomName

# The shortest time between two frames of a room.
MIN_INTERVAL_SECONDS: Final = 0.25


@dataclass(eq=False, slots=True)
class LatestRoom:
    """A room with members or with joins under way.

    `version` and `frame` are those of the newest value; `joining` counts joins under way.
    """

    name: RoomName
    source: LatestSource
    version: int = -1
    frame: bytes | None = None
    members: dict[Member, DirectSender | None] = field(default_factory=dict)
    joining: int = 0
    _sent_version: int = -1
    _next_send_at: float = 0.0
    _timer: asyncio.TimerHandle | None = None

    @property
    def key(self) -> uuid.UUID:
        """The id of the room's subject."""
        return self.name.key

    @property
    def idle(self) -> bool:
        """Whether it has neither members nor joins under way."""
        return not self.members and not self.joining

    def admit(self, member: Member, version: int) -> None:
        """Add a member that was just sent `version`, and send it a newer one that arrived meanwhile."""
        self.members[member] = member.direct_sender
        if self.frame is not None and self.version > version:
            member.deliver(self.frame)

    def discard(self, member: Member) -> bool:
        """Remove a member; return whether it was one."""
        was_member = member in self.members
        self.members.pop(member, None)
        if not self.members and self._timer:
            self._timer.cancel()
            self._timer = None
        return was_member

    def update(self, version: int, frame: bytes) -> None:
        """Apply a value unless it is old: send it now, or when the interval since the last frame is over."""
        if version <= self.version:
            return
        self.version, self.frame = version, frame
        if self._timer or not self.members:
            return
        loop = asyncio.get_running_loop()
        if (wait := self._next_send_at - loop.time()) > 0:
            self._timer = loop.call_later(wait, self._send)
        else:
            self._send()

    def reset(self, version: int, frame: bytes | None) -> None:
        """Continue from a value that all members have been sent: another epoch may have an older one, or none."""
        self.version, self.frame, self._sent_version = version, frame, version

    def _send(self) -> None:
        self._timer = None
        if self.frame is None or self._sent_version == self.version:
            return
        self._sent_version = self.version
        self._next_send_at = asyncio.get_running_loop().time() + MIN_INTERVAL_SECONDS
        broadcast([self.frame], self.members)

    def remove_all(self) -> tuple[Member, ...]:
        """Remove all members and return them."""
        members = tuple(self.members)
        for member in members:
            self.discard(member)
        return members
