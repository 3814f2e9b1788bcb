"""A room without a history: positions, progress. The newest value wins and nothing is queued up."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Final

from realtime.outlet import Line, spread
from realtime.room import Member
from realtime.rooms import Latest, RoomName

# Between two frames of one room; what comes faster is conflated.
PACE_SECONDS: Final = 0.25


@dataclass(eq=False, slots=True)
class LatestRoom:
    """A room with members, or with joins on their way."""

    name: RoomName
    latest: Latest
    version: int = -1
    frame: bytes | None = None
    members: dict[Member, Line | None] = field(default_factory=dict)
    joining: int = 0
    _given: int = -1
    _open_at: float = 0.0
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
        """This will let somebody in who has just been given a version; a newer one that came meanwhile follows."""
        self.members[member] = member.line
        if self.frame is not None and self.version > version:
            member.deliver(self.frame)

    def discard(self, member: Member) -> bool:
        """This will let a member go, and say whether it was in."""
        known = member in self.members
        self.members.pop(member, None)
        if not self.members and self._timer:
            self._timer.cancel()
            self._timer = None
        return known

    def offer(self, version: int, frame: bytes) -> None:
        """This will take a value: given at once, or with the next beat where the last was just now."""
        if version <= self.version:
            return
        self.version, self.frame = version, frame
        if self._timer or not self.members:
            return
        loop = asyncio.get_running_loop()
        if (wait := self._open_at - loop.time()) > 0:
            self._timer = loop.call_later(wait, self._give)
        else:
            self._give()

    def _give(self) -> None:
        self._timer = None
        if self.frame is None or self._given == self.version:
            return
        self._given = self.version
        self._open_at = asyncio.get_running_loop().time() + PACE_SECONDS
        spread([self.frame], self.members)

    def end(self) -> tuple[Member, ...]:
        """This will put everybody out, and return them."""
        members = tuple(self.members)
        for member in members:
            self.discard(member)
        return members
