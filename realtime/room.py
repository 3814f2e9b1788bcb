"""A room as the hub keeps it, and how a wish to enter it is answered."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from realtime import protocol


class Member(Protocol):
    """A socket, as the hub sees it. `deliver` must not wait and must not raise."""

    @property
    def closed(self) -> bool: ...
    def deliver(self, frame: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """One room that a member wants to enter, found and permitted; `since` is the last seq it has."""

    group: str
    name: str
    reference: str
    shipment_id: uuid.UUID
    since: int | None = None
    epoch: str | None = None


@dataclass(eq=False, slots=True)
class Room:
    """A room with members, or with joins on their way."""

    group: str
    name: str
    reference: str
    shipment_id: uuid.UUID
    head: int = 0
    wanted: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    newest: bytes | None = None  # the frame of the head, from which a fill takes the summary
    members: set[Member] = field(default_factory=set)
    ahead: dict[Member, int] = field(default_factory=dict)  # members that joined beyond the head
    joining: int = 0
    filling: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody is in it or on the way in."""
        return not self.members and not self.joining

    def start_from(self, snapshot: protocol.Json) -> None:
        """This will take a snapshot as the state that all members have."""
        self.head = snapshot["seq"]
        self.wanted = max(self.wanted, self.head)
        self.newest = None
        self.summary = {key: snapshot[key] for key in protocol.SUMMARY}
        self.ahead.clear()


def why_snapshot(wish: Wish, *, epoch: str, seq: int) -> str | None:
    """This will return why a join cannot be resumed, None where it can."""
    if wish.since is None:
        return "new"
    if (wish.epoch is not None and wish.epoch != epoch) or wish.since > seq:
        return "epoch"
    return "too_far" if seq - wish.since > protocol.MAX_REPLAY else None


def answer_frame(
    wish: Wish,
    *,
    epoch: str,
    snapshot: dict[str, Any],
    reason: str | None,
    events: list[dict[str, Any]],
    echo: object,
) -> bytes:
    if reason is None:
        return protocol.joined_with_events(
            echo=echo, room=wish.name, epoch=epoch, seq=snapshot["seq"], events=events
        )
    return protocol.joined_with_snapshot(
        echo=echo, room=wish.name, epoch=epoch, seq=snapshot["seq"], reason=reason, snapshot=snapshot
    )


def missing(wish: Wish, echo: object) -> bytes:
    return protocol.error(code="not_found", message="There is no such room.", echo=echo, room=wish.name)
