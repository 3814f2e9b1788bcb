"""A room without a history: positions, progress. The newest value wins and nothing is queued up."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Final

from realtime.hub.delivery import DirectSender, broadcast
from realtime.hub.log_room import Member
from realtime.hub.room_registry import LatestSource
from realtime.protocol.room_names import RoomName

# Between two frames of one room; what comes faster is conflated.
MIN_INTERVAL_SECONDS: Final = 0.25


@dataclass(eq=False, slots=True)
class LatestRoom:
    """A room with members, or with joins on their way."""

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
        """What the room is about."""
        return self.name.key

    @property
    def idle(self) -> bool:
        """Whether nobody is in it or on the way in."""
        return not self.members and not self.joining

    def admit(self, member: Member, version: int) -> None:
        """Let somebody in who has just been given a version; a newer one that came meanwhile follows."""
        self.members[member] = member.direct_sender
        if self.frame is not None and self.version > version:
            member.deliver(self.frame)

    def discard(self, member: Member) -> bool:
        """Let a member go, and say whether it was in."""
        was_member = member in self.members
        self.members.pop(member, None)
        if not self.members and self._timer:
            self._timer.cancel()
            self._timer = None
        return was_member

    def update(self, version: int, frame: bytes) -> None:
        """Take a value: given at once, or with the next beat where the last was just now."""
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

    def _send(self) -> None:
        self._timer = None
        if self.frame is None or self._sent_version == self.version:
            return
        self._sent_version = self.version
        self._next_send_at = asyncio.get_running_loop().time() + MIN_INTERVAL_SECONDS
        broadcast([self.frame], self.members)

    def remove_all(self) -> tuple[Member, ...]:
        """Put everybody out, and return them."""
        members = tuple(self.members)
        for member in members:
            self.discard(member)
        return members
