"""A room's state machine against a model: in whatever order things happen, each member's record is the log."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from realtime.hub.delivery import DirectSender
from realtime.hub.log_room import JoinRequest, LogRoom, snapshot_reason
from realtime.protocol.room_names import RoomName
from shipments.domain.identifiers import new_id

EPOCH = "1.00000001"


class NumberedLog:
    """A log in a list: event n is at index n - 1, and the state after it is the sum of the weights up to n."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def commit(self, weight: int) -> None:
        self.events.append({"seq": len(self.events) + 1, "weight": weight, "type": "amended"})

    def snapshot(self) -> dict[str, Any]:
        return {"seq": len(self.events), "total": sum(event["weight"] for event in self.events)}

    def number(self, event: dict[str, Any]) -> int:
        return int(event["seq"])

    def summary(self, snapshot: dict[str, Any]) -> dict[str, Any]:
        return {"total": snapshot["total"]}

    def summary_after(self, summary: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        return {"total": summary["total"] + event["weight"]}

    def frame(self, room: RoomName, epoch: str, event: dict[str, Any], summary: dict[str, Any]) -> bytes:
        return orjson.dumps({"event": event, "shipment": summary})

    def hint_frame(self, frame: bytes) -> bytes:
        return frame

    def published(self, number: int) -> bytes:
        """Return the frame as published at the COMMIT of an event."""
        upto = self.events[:number]
        return self.frame(NAME, EPOCH, upto[-1], {"total": sum(event["weight"] for event in upto)})


NAME = RoomName("shipment", new_id(), "shipment:X", "shipment.org.X")


class SharedSender:
    """A DirectSender of one client."""

    def __init__(self, client: "Client") -> None:
        self.client = client

    def write(self, frame: bytes, /) -> None:
        self.client.deliver(frame)

    def on_frame(self, allow: Callable[[], bool], /) -> None:
        """Do nothing: this client sends no frames."""

    async def drain(self) -> None:
        """Return at once: nothing is buffered."""

    def broadcast(self, frames: Sequence[bytes], senders: Sequence["SharedSender"], /) -> None:
        for sender in senders:
            for frame in frames:
                sender.client.deliver(frame)


class Client:
    """One member: the number and state that it started from, and every event that it received since."""

    def __init__(self, seq: int, total: int) -> None:
        self.closed = False
        self.direct_sender: DirectSender | None = None if total % 2 else SharedSender(self)
        self.started, self.seqs, self.total = seq, list[int](), total
        self.summary_total = total

    def deliver(self, frame: bytes) -> None:
        message = orjson.loads(frame)
        event = message["event"]
        self.seqs.append(event["seq"])
        self.total += event["weight"]
        self.summary_total = message["shipment"]["total"]

    async def drain(self) -> None:
        """Return at once: nothing is buffered."""


class RoomModel(RuleBasedStateMachine):
    """Commits; lost, doubled and late hints; joins with an old snapshot; fills in steps; sweeps."""

    clients = Bundle("clients")
    joins = Bundle("joins")

    @initialize()
    def begin(self) -> None:
        self.log = NumberedLog()
        self.log.commit(1)
        self.room = LogRoom(NAME, self.log)  # type: ignore[arg-type]  # not the whole RoomLog
        self.inside: list[Client] = []
        self.events_read: list[dict[str, Any]] | None = None

    @rule(weight=st.integers(1, 9))
    def commit(self, weight: int) -> None:
        self.log.commit(weight)

    @rule(back=st.integers(0, 5), with_frame=st.booleans())
    def hint(self, back: int, with_frame: bool) -> None:
        number = max(1, len(self.log.events) - back)
        self.room.apply_hint(number, self.log.published(number) if with_frame else None)

    @rule(target=joins, since=st.none() | st.integers(0, 6))
    def read_to_join(self, since: int | None) -> tuple[dict[str, Any], int | None]:
        self.room.joining += 1
        return self.log.snapshot(), since

    @rule(target=clients, join=consumes(joins))
    def join(self, join: tuple[dict[str, Any], int | None]) -> Client:
        snapshot, since = join
        self.room.joining -= 1
        if snapshot["seq"] < self.room.head:  # the hub reads again
            snapshot = self.log.snapshot()
        request = JoinRequest(NAME, since, EPOCH)
        if snapshot_reason(request, epoch=EPOCH, seq=snapshot["seq"], max_replay=1000) is None:
            total = sum(event["weight"] for event in self.log.events[:since])
            client = Client(since or 0, total)
            for event in self.log.events[since : snapshot["seq"]]:
                client.seqs.append(event["seq"])
                client.total += event["weight"]
            client.summary_total = client.total
        else:
            client = Client(snapshot["seq"], snapshot["total"])
        self.room.admit(client, snapshot, EPOCH)
        self.inside.append(client)
        return client

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        assert self.room.discard(client) is True
        self.inside.remove(client)

    @rule()
    def begin_fill(self) -> None:
        if self.room.behind and not self.room.filling:
            self.room.filling = True
            self.events_read = self.log.events[self.room.head : self.room.head + 3]

    @rule()
    def end_fill(self) -> None:
        if self.events_read is None:
            return
        if not self.events_read:
            self.room.forget_unlogged_seq()
        for event in self.events_read:
            if self.room.members:
                self.room.apply_event(event, lambda frame: orjson.loads(frame)["shipment"])
        self.room.filling, self.events_read = False, None

    @rule()
    def flush(self) -> None:
        self.room.flush()
        assert self.room.delivered_seq == self.room.head

    @rule()
    def sweep(self) -> None:
        if self.room.members:
            self.room.known_seq = max(self.room.known_seq, len(self.log.events))

    @invariant()
    def every_record_is_the_log(self) -> None:
        for client in getattr(self, "inside", []):
            assert client.seqs == list(range(client.started + 1, client.started + 1 + len(client.seqs)))
            upto = client.started + len(client.seqs)
            assert client.total == sum(event["weight"] for event in self.log.events[:upto])
            assert client.summary_total == client.total

    def teardown(self) -> None:
        if not hasattr(self, "room"):
            return
        self.end_fill()
        while self.sweep() or self.room.behind:
            self.begin_fill()
            self.end_fill()
        self.room.flush()
        for client in self.inside:
            assert client.started + len(client.seqs) == len(self.log.events)


TestRoomModel = RoomModel.TestCase
TestRoomModel.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
