"""A room with a numbered history: a state machine that never waits, reads or publishes by itself.

    epoch       the history that all of these belong to
    head        number of the newest event that was appended for the members
    known_seq   newest number that is known to exist

An event is appended iff its number is head + 1. An older one is dropped. A newer number leaves the room *behind*
(known_seq > head): the hub then *fills* it, that is, reads the log from the head on and applies the events until
the room is level. A member that joined beyond the head is in `ahead` with its own number, and gets newer events
only.

Appended frames are `pending` until `flush` writes them together, at the end of the event loop's iteration and
before a member joins or leaves. So a frame reaches exactly those that were members when it was appended.

    reset                 the first member joined, with a snapshot, or all
                          were sent one of another epoch                    any → level
    apply_hint            the next event, with its frame: appended          level → level
                          a newer number, or no frame: remembered           level → behind
    apply_event           the next event of the log: appended               behind → level
    forget_unlogged_seq   a hint promised a number that the log lacks       behind → level
    remove_all            the shipment is gone                              any → empty

tests/realtime/hub/test_log_room_model.py checks it against a model under every order of events.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from monitoring import clock
from realtime.hub.delivery import DirectSender, broadcast
from realtime.hub.room_registry import RoomLog
from realtime.protocol.frames import Json
from realtime.protocol.room_names import RoomName


class Member(Protocol):
    """A socket or stream, as the hub sees it. `deliver` must not block or raise."""

    @property
    def closed(self) -> bool: ...
    @property
    def direct_sender(self) -> DirectSender | None:
        """The server's send buffer of this socket; None for a member that takes frames by `deliver` only."""

    def deliver(self, frame: bytes) -> None: ...
    async def drain(self) -> None:
        """Wait until the delivered frames have left the send buffer."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A permitted join: the room, and the last number (`since`) and the epoch that the member already has."""

    room: RoomName
    since: int | None = None
    epoch: str | None = None


@dataclass(eq=False, slots=True)
class LogRoom:
    """A room with members or with joins under way; `joining` counts the latter."""

    name: RoomName
    log: RoomLog
    epoch: str = ""
    head: int = 0
    known_seq: int = 0
    summary: Json = field(default_factory=dict)
    head_frame: bytes | None = None  # the head's frame where a hint brought it; `summary` is then older
    members: dict[Member, DirectSender | None] = field(default_factory=dict)
    pending: list[bytes] = field(default_factory=list)  # appended, and not yet written
    ahead: dict[Member, int] = field(default_factory=dict)
    joining: int = 0
    # What is behind was committed after this time (seconds since 1970); 0 where that is unknown.
    commit_floor: float = 0.0
    # Nobody waited for an update before (seconds since 1970).
    opened_at: float = field(default_factory=lambda: clock.now().timestamp())
    paused_until: float = 0.0  # on the loop's clock; RoomFlusher writes nothing before
    filling: bool = False

    @property
    def key(self) -> uuid.UUID:
        """The id of the room's subject."""
        return self.name.key

    @property
    def idle(self) -> bool:
        """Whether it has neither members nor joins under way."""
        return not self.members and not self.joining

    @property
    def behind(self) -> bool:
        """Whether the log has events that the members lack."""
        return bool(self.members) and self.known_seq > self.head

    def accepts(self, epoch: str) -> bool:
        """Tell whether it may continue in this epoch: its members, if any, are of no other one."""
        return not self.members or self.epoch == epoch

    @property
    def delivered_seq(self) -> int:
        """The number of the newest event that was written to the members."""
        return self.head - len(self.pending)

    def reset(self, snapshot: Json, epoch: str) -> None:
        """Continue from a snapshot that all members have been sent."""
        self.flush()
        self.head = snapshot["seq"]
        self.known_seq = max(self.known_seq, self.head)
        self.epoch = epoch
        self.head_frame = None
        self.summary = self.log.summary(snapshot)
        self.ahead.clear()

    def admit(self, member: Member, snapshot: Json, epoch: str) -> None:
        """Add a member that was just sent a snapshot, or its replay, not older than the head.

        While it has members the room is of this epoch already (`accepts`).
        """
        self.flush()
        if not self.members:
            self.reset(snapshot, epoch)
        self.members[member] = member.direct_sender
        self.ahead.pop(member, None)
        if snapshot["seq"] > self.head:
            self.ahead[member] = snapshot["seq"]
            self.known_seq = max(self.known_seq, snapshot["seq"])

    def discard(self, member: Member) -> bool:
        """Remove a member; return whether it was one."""
        if member not in self.members:
            return False
        self.flush()
        del self.members[member]
        self.ahead.pop(member, None)
        return True

    def apply_hint(self, number: int, frame: bytes | None) -> bool:
        """Remember that a number exists, and append its frame where it is the next; return whether it was appended.

        During a fill the number is only remembered: the fill will read the event in its turn.
        """
        self.known_seq = max(self.known_seq, number)
        if frame is None or self.filling or not self.members or number != self.head + 1:
            return False
        frame = self.log.hint_frame(frame)
        if frame is None:
            return False
        self.head_frame = frame
        self._append(number, frame)
        return True

    def apply_event(self, event: Json, summary_of: Any) -> bool:
        """Append an event that was read from the log, where it is the next; return whether it was.

        `summary_of` extracts the summary from `head_frame`.
        """
        number = self.log.number(event)
        if number != self.head + 1:
            return False
        if self.head_frame is not None:
            self.summary, self.head_frame = summary_of(self.head_frame), None
        self.summary = self.log.summary_after(self.summary, event)
        self.known_seq = max(self.known_seq, number)
        self._append(number, self.log.frame(self.name, self.epoch, event, self.summary))
        return True

    def bound_commits(self, *, after: int, floor: float) -> None:
        """Apply a hint's bound, before its number: events beyond `after` were committed after `floor`.

        A room that lacks earlier events, too, has the lower bound of both; one that missed a hint has none.
        """
        if after > self.known_seq:
            floor = 0.0
        self.commit_floor = min(self.commit_floor, floor) if self.behind else floor

    def forget_unlogged_seq(self) -> None:
        """Forget a number that the log does not have; the sweep finds it again if it exists."""
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
        """Write the pending frames to all members."""
        if self.pending:
            frames, self.pending = self.pending, []
            broadcast(frames, self.members)

    def remove_all(self) -> tuple[Member, ...]:
        """Remove all members and return them."""
        self.flush()
        members = tuple(self.members)
        self.members.clear()
        self.ahead.clear()
        return members


def snapshot_reason(request: JoinRequest, *, epoch: str, seq: int, max_replay: int) -> str | None:
    """Return why a join needs a snapshot (new, epoch, too_far), None where `max_replay` events suffice."""
    if request.since is None:
        return "new"
    if (request.epoch is not None and request.epoch != epoch) or request.since > seq:
        return "epoch"
    return "too_far" if seq - request.since > max_replay else None
