"""A room with a numbered history, as the hub keeps it: a state machine without any input or output.

    head     the newest number that the members have been given
    wanted   the newest number that is known to exist

A frame is given iff its number is head + 1; an older one is dropped; anything newer leaves the room *behind*
(wanted > head), and whoever owns it reads the log from the head on (`take`) until it is not. A member that
came in beyond the head stands in `ahead` with the number it has, and is given only what is newer.

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

from realtime.rooms import Json, Log, RoomName


class Member(Protocol):
    """A socket or stream, as the hub sees it. `deliver` must not wait and must not raise."""

    @property
    def closed(self) -> bool: ...
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
    members: set[Member] = field(default_factory=set)
    ahead: dict[Member, int] = field(default_factory=dict)
    joining: int = 0
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

    def start(self, snapshot: Json) -> None:
        """This will take a snapshot as the state that all members have."""
        self.head = snapshot["seq"]
        self.wanted = max(self.wanted, self.head)
        self.newest = None
        self.summary = self.log.summary(snapshot)
        self.ahead.clear()

    def admit(self, member: Member, snapshot: Json) -> None:
        """This will let somebody in who has just been given the state of a snapshot, not older than the head."""
        if not self.members:
            self.start(snapshot)
        self.members.add(member)
        self.ahead.pop(member, None)
        if snapshot["seq"] > self.head:
            self.ahead[member] = snapshot["seq"]
            self.wanted = max(self.wanted, snapshot["seq"])

    def discard(self, member: Member) -> bool:
        """This will let a member go, and say whether it was in."""
        known = member in self.members
        self.members.discard(member)
        self.ahead.pop(member, None)
        return known

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
        self.head = number
        ahead = self.ahead
        for member in tuple(self.members):
            if ahead and ahead.get(member, 0) >= number:
                if ahead[member] == number:
                    del ahead[member]
                continue
            member.deliver(frame)

    def end(self) -> tuple[Member, ...]:
        """This will put everybody out, and return them."""
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
