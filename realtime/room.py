"""A room with a numbered history, as the hub keeps it: a state machine without any input or output.

    head     the newest number that the members have been given
    wanted   the newest number that is known to exist

A frame is given iff its number is head + 1; an older one is dropped; anything newer leaves the room *behind*
(wanted > head), and whoever owns it reads the log from the head on (`take`) until it is not. A member that
came in beyond the head stands in `ahead` with the number it has, and is given only what is newer.

What is given in one turn of the event loop is written together (`write`), at the turn's end, or before anybody
comes or goes: so a frame reaches exactly those who were in the room when it was given.

    start      the room's first member came with a snapshot of `head`       nobody in → level
    hint       the next frame: given                                        level → level
               a newer number: noted                                        level → behind
    take       what the log says behind the head: given                     behind → level
    drop       a promise that the log does not know                         behind → level
    end        the shipment is gone                                         any → nobody in
"""

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from realtime.outlet import Line, spread
from realtime.rooms import Json, Log, RoomName


class Member(Protocol):
    """A socket or stream, as the hub sees it. `deliver` must not wait and must not raise."""

    @property
    def closed(self) -> bool: ...
    @property
    def line(self) -> Line | None:
        """Its own end of a way to write to many at once; None where it is to be given each frame."""

    def deliver(self, frame: bytes) -> None: ...
    async def free(self) -> None:
        """This will wait until what was delivered is on its way."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One room that a member wants to enter, found and permitted; `since` is the last number it has."""

    room: RoomName
    since: int | None = None
    epoch: str | None = None


@dataclass(eq=False, slots=True)
class LogRoom:
    """A room with members, or with joins on their way."""

    name: RoomName
    log: Log
    head: int = 0
    wanted: int = 0
    summary: Json = field(default_factory=dict)
    newest: bytes | None = None  # the hinted frame of the head, from which a fill takes the summary
    members: dict[Member, Line | None] = field(default_factory=dict)
    given: list[bytes] = field(default_factory=list)  # to the members, and not yet written
    ahead: dict[Member, int] = field(default_factory=dict)
    joining: int = 0
    rests_until: float = 0.0  # by the clock of the loop; until then nothing is written in a hurry
    filling: bool = False

    @property
    def key(self) -> uuid.UUID:
        """What the room is about."""
        return self.name.key

    @property
    def idle(self) -> bool:
        """Whether nobody is in it or on the way in."""
        return not self.members and not self.joining

    @property
    def behind(self) -> bool:
        """Whether its members wait for something that the log has."""
        return bool(self.members) and self.wanted > self.head

    @property
    def told(self) -> int:
        """The newest number that was written to the members."""
        return self.head - len(self.given)

    def start(self, snapshot: Json) -> None:
        """This will take a snapshot as the state that all members have."""
        self.write()
        self.head = snapshot["seq"]
        self.wanted = max(self.wanted, self.head)
        self.newest = None
        self.summary = self.log.summary(snapshot)
        self.ahead.clear()

    def admit(self, member: Member, snapshot: Json) -> None:
        """This will let somebody in who has just been given the state of a snapshot, not older than the head."""
        self.write()
        if not self.members:
            self.start(snapshot)
        self.members[member] = member.line
        self.ahead.pop(member, None)
        if snapshot["seq"] > self.head:
            self.ahead[member] = snapshot["seq"]
            self.wanted = max(self.wanted, snapshot["seq"])

    def discard(self, member: Member) -> bool:
        """This will let a member go, and say whether it was in."""
        if member not in self.members:
            return False
        self.write()
        del self.members[member]
        self.ahead.pop(member, None)
        return True

    def hint(self, number: int, frame: bytes | None) -> bool:
        """This will note that a number exists, give its frame where it is the next, and say whether it did.

        While a fill is under way it is only noted: the fill will find it in its place.
        """
        self.wanted = max(self.wanted, number)
        if frame is None or self.filling or not self.members or number != self.head + 1:
            return False
        self.newest = frame
        self._give(number, frame)
        return True

    def take(self, event: Json, epoch: str, decode: Any) -> bool:
        """This will give an event that was read from the log, and say whether it was the next.

        `decode` reads the summary out of the last hinted frame.
        """
        number = self.log.number(event)
        if number != self.head + 1:
            return False
        if self.newest is not None:
            self.summary, self.newest = decode(self.newest), None
        self.summary = self.log.after(self.summary, event)
        self.wanted = max(self.wanted, number)
        self._give(number, self.log.frame(self.name, epoch, event, self.summary))
        return True

    def drop_promise(self) -> None:
        """This will forget a number that a hint promised and the log does not have; the sweep knows better."""
        self.wanted = self.head

    def _give(self, number: int, frame: bytes) -> None:
        ahead = self.ahead
        if not ahead:
            self.head = number
            self.given.append(frame)
            return
        self.write()
        self.head = number
        for member in tuple(self.members):
            if ahead.get(member, 0) < number:
                member.deliver(frame)
            elif ahead[member] == number:
                del ahead[member]

    def write(self) -> None:
        """This will write to the members what they were given."""
        if self.given:
            given, self.given = self.given, []
            spread(given, self.members)

    def end(self) -> tuple[Member, ...]:
        """This will put everybody out, and return them."""
        self.write()
        members = tuple(self.members)
        self.members.clear()
        self.ahead.clear()
        return members


def why_snapshot(wish: Wish, *, epoch: str, seq: int, reach: int) -> str | None:
    """This will return why a join cannot be resumed over at most `reach` events, None where it can."""
    if wish.since is None:
        return "new"
    if (wish.epoch is not None and wish.epoch != epoch) or wish.since > seq:
        return "epoch"
    return "too_far" if seq - wish.since > reach else None
