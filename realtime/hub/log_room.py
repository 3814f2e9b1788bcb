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

from realtime.hub.delivery import DirectSender, broadcast
from realtime.hub.room_registry import RoomLog
from realtime.protocol.frames import Json
from realtime.protocol.room_names import RoomName


class Member(Protocol):
    """A socket or stream, as the hub sees it. `deliver` must not wait and must not raise."""

    @property
    def closed(self) -> bool: ...
    @property
    def direct_sender(self) -> DirectSender | None:
        """Its own end of a way to write to many at once; None where it is to be given each frame."""

    def deliver(self, frame: bytes) -> None: ...
    async def drain(self) -> None:
        """Wait until what was delivered is on its way."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """One room that a member wants to enter, found and permitted; `since` is the last number it has."""

    room: RoomName
    since: int | None = None
    epoch: str | None = None


@dataclass(eq=False, slots=True)
class LogRoom:
    """A room with members, or with joins on their way."""

    name: RoomName
    log: RoomLog
    head: int = 0
    known_seq: int = 0
    summary: Json = field(default_factory=dict)
    head_frame: bytes | None = None  # the hinted frame of the head, from which a fill takes the summary
    members: dict[Member, DirectSender | None] = field(default_factory=dict)
    pending: list[bytes] = field(default_factory=list)  # to the members, and not yet written
    ahead: dict[Member, int] = field(default_factory=dict)
    joining: int = 0
    paused_until: float = 0.0  # by the clock of the loop; until then nothing is written in a hurry
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
        return bool(self.members) and self.known_seq > self.head

    @property
    def delivered_seq(self) -> int:
        """The newest number that was written to the members."""
        return self.head - len(self.pending)

    def reset(self, snapshot: Json) -> None:
        """Take a snapshot as the state that all members have."""
        self.flush()
        self.head = snapshot["seq"]
        self.known_seq = max(self.known_seq, self.head)
        self.head_frame = None
        self.summary = self.log.summary(snapshot)
        self.ahead.clear()

    def admit(self, member: Member, snapshot: Json) -> None:
        """Let somebody in who has just been given the state of a snapshot, not older than the head."""
        self.flush()
        if not self.members:
            self.reset(snapshot)
        self.members[member] = member.direct_sender
        self.ahead.pop(member, None)
        if snapshot["seq"] > self.head:
            self.ahead[member] = snapshot["seq"]
            self.known_seq = max(self.known_seq, snapshot["seq"])

    def discard(self, member: Member) -> bool:
        """Let a member go, and say whether it was in."""
        if member not in self.members:
            return False
        self.flush()
        del self.members[member]
        self.ahead.pop(member, None)
        return True

    def apply_hint(self, number: int, frame: bytes | None) -> bool:
        """Note that a number exists, give its frame where it is the next, and say whether it did.

        While a fill is under way it is only noted: the fill will find it in its place.
        """
        self.known_seq = max(self.known_seq, number)
        if frame is None or self.filling or not self.members or number != self.head + 1:
            return False
        self.head_frame = frame
        self._append(number, frame)
        return True

    def apply_event(self, event: Json, epoch: str, summary_of: Any) -> bool:
        """Give an event that was read from the log, and say whether it was the next.

        `decode` reads the summary out of the last hinted frame.
        """
        number = self.log.number(event)
        if number != self.head + 1:
            return False
        if self.head_frame is not None:
            self.summary, self.head_frame = summary_of(self.head_frame), None
        self.summary = self.log.summary_after(self.summary, event)
        self.known_seq = max(self.known_seq, number)
        self._append(number, self.log.frame(self.name, epoch, event, self.summary))
        return True

    def forget_unlogged_seq(self) -> None:
        """Forget a number that a hint promised and the log does not have; the sweep knows better."""
        self.known_seq = self.head

    def _append(self, number: int, frame: bytes) -> None:
        ahead = self.ahead
        if not ahead:
            self.head = number
            self.pending.append(frame)
            return
        self.flush()
        self.head = number
        for member in tuple(self.members):
            if ahead.get(member, 0) < number:
                member.deliver(frame)
            elif ahead[member] == number:
                del ahead[member]

    def flush(self) -> None:
        """Write to the members what they were given."""
        if self.pending:
            frames, self.pending = self.pending, []
            broadcast(frames, self.members)

    def remove_all(self) -> tuple[Member, ...]:
        """Put everybody out, and return them."""
        self.flush()
        members = tuple(self.members)
        self.members.clear()
        self.ahead.clear()
        return members


def snapshot_reason(request: JoinRequest, *, epoch: str, seq: int, max_replay: int) -> str | None:
    """Return why a join cannot be resumed over at most `reach` events, None where it can."""
    if request.since is None:
        return "new"
    if (request.epoch is not None and request.epoch != epoch) or request.since > seq:
        return "epoch"
    return "too_far" if seq - request.since > max_replay else None
