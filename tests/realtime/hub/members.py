"""Members of a hub for tests, and the changes that are delivered to them."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import orjson
from asgiref.sync import sync_to_async

from realtime.hub.log_room import JoinRequest
from realtime.protocol import room_names
from realtime.protocol.room_names import RoomName
from shipments import services
from shipments.models import Shipment, UnnumberedEvent
from shipments.services.feed import sequencer
from tests import factories
from tests.factories import NOW


class Socket:
    """A member that records its frames, and applies them as docs/protocol.md asks of clients."""

    def __init__(self) -> None:
        self.closed = False
        self.direct_sender = None
        self.drains = 0
        self.frames: list[dict[str, Any]] = []
        self.seqs: list[int] = []
        self.snapshot: dict[str, Any] | None = None
        self.frame_received = asyncio.Event()

    def deliver(self, frame: bytes) -> None:
        message = orjson.loads(frame)
        self.frames.append(message)
        if message["type"] == "room:joined":
            if message["recovered"]:
                for event in message["events"]:
                    self._apply(event)
            else:
                self.snapshot, self.seqs = message["snapshot"], [message["seq"]]
        elif message["type"] == "shipment:update":
            self._apply(message["event"])
        self.frame_received.set()

    def _apply(self, event: dict[str, Any]) -> None:
        assert not self.seqs or event["seq"] == self.seqs[-1] + 1
        self.seqs.append(event["seq"])
        if self.snapshot is not None:
            self.snapshot = {
                **self.snapshot, **event["data"]["changes"], "seq": event["seq"], "updatedAt": event["recordedAt"],
            }  # fmt: skip

    async def drain(self) -> None:
        self.drains += 1
        await asyncio.sleep(0.05)

    async def wait_for_seq(self, seq: int, seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not self.seqs or self.seqs[-1] < seq:
                self.frame_received.clear()
                await self.frame_received.wait()


class Watcher(Socket):
    """A member of many rooms that only records its frames."""

    def deliver(self, frame: bytes) -> None:
        self.frames.append(orjson.loads(frame))
        self.frame_received.set()

    async def wait_for_update(self, seconds: float = 5) -> None:
        """Wait until the last frame is an event."""
        async with asyncio.timeout(seconds):
            while self.frames[-1]["type"] != "shipment:update":
                self.frame_received.clear()
                await self.frame_received.wait()

    async def wait_for(self, frames: int, seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while len(self.frames) < frames:
                self.frame_received.clear()
                await self.frame_received.wait()


@sync_to_async
def number_all() -> None:
    while UnnumberedEvent.objects.exists():
        sequencer.number_batch()


@sync_to_async
def book_shipment() -> tuple[Any, Shipment]:
    by = factories.member(org := factories.organization(), "dispatcher")
    return by, factories.booked_shipment(by, driver_id=factories.driver(org).pk)


@sync_to_async
def amend(by: Any, shipment: Shipment, pieces: int) -> int:
    amended: Shipment = services.amend(
        by=by, now=NOW + timedelta(seconds=pieces), reference=shipment.reference, changes={"pieces": pieces}
    )
    return amended.seq


def join_request(shipment: Shipment, since: int | None = None, epoch: str | None = None) -> JoinRequest:
    reference = shipment.reference
    group = room_names.shipment_group(shipment.organization_id, reference)
    return JoinRequest(RoomName("shipment", shipment.pk, room_names.shipment_room(reference), group), since, epoch)


def feed_request(organization_id: uuid.UUID, since: int | None = None, epoch: str | None = None) -> JoinRequest:
    group = room_names.feed_group(organization_id)
    return JoinRequest(RoomName("feed", organization_id, room_names.FEED, group), since, epoch)
