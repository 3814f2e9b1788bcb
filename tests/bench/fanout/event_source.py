"""Freight's side of the fan-out bench: shipments, committed events, and frames as its hub sends them."""

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.test import Client
from django.utils import timezone

from realtime.protocol import room_names
from realtime.publishing import publisher, receivers
from shipments import services, signals
from shipments.auth import subjects
from shipments.models import Membership, Shipment
from shipments.selectors import epoch
from tests.bench.fanout import peers


class EventSource:
    """A dispatcher of the demo organisation with `room_count` shipments of its own, one for each room."""

    def __init__(self, room_count: int) -> None:
        member = Membership.objects.select_related("user").get(user__email="dispatcher@demo.test")
        subject = subjects.subject_of_user(member.user)
        assert subject
        self.by = subject
        self.prefix = f"BENCH-{uuid.uuid4().hex[:8].upper()}"
        self.references = [f"{self.prefix}-{number}" for number in range(room_count)]
        self._signals: list[dict[str, Any]] = []
        signals.event_committed.disconnect(dispatch_uid="realtime.publish_event")
        for reference in self.references:
            services.book(by=self.by, now=timezone.now(), origin="NLRTM", destination="DEHAM", reference=reference)
        signals.event_committed.connect(self._record_signal, weak=False, dispatch_uid="bench")
        self._seqs: dict[bytes, int] = {}

    def _record_signal(self, **arguments: Any) -> None:
        self._signals.append(arguments)

    def commit(self, room_numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        """Commit one event for each room named, and return the frames that its hints would carry.

        All in one transaction: the sweep of Freight's own server must not find a part of them before the hints.
        """
        self._signals.clear()
        with transaction.atomic():
            for number in room_numbers:
                pieces = Shipment.objects.values_list("seq", flat=True).get(reference=self.references[number])
                services.amend(
                    by=self.by, now=timezone.now(), reference=self.references[number], changes={"pieces": pieces}
                )
        return [(number, self._frame(told)) for number, told in zip(room_numbers, self._signals, strict=True)]

    def last_signal(self) -> dict[str, Any]:
        """Return the arguments of the signal of the last committed event."""
        return self._signals[-1]

    def _frame(self, arguments: dict[str, Any]) -> bytes:
        frame: bytes = receivers.event_frame(epoch.current(), arguments["event"], arguments["shipment"])
        self._seqs[frame] = arguments["event"]["seq"]
        return frame

    def oversized_frames(self, count: int, *, size: int) -> tuple[int, list[bytes]]:
        """Return a room and so many frames of a size for it, each the next of the one before.

        They are in no log: nobody but the readers of this room would miss them there.
        """
        room = len(self.references) - 1
        self.commit([room])
        arguments = self._signals[0]
        frames = []
        for seq in range(arguments["event"]["seq"] + 1, arguments["event"]["seq"] + 1 + count):
            event = arguments["event"] | {"seq": seq, "data": {"note": "x" * (size - 700)}}
            frames.append(receivers.event_frame(epoch.current(), event, arguments["shipment"]))
            self._seqs[frames[-1]] = seq
        return room, frames

    def message(self, number: int, frame: bytes) -> tuple[str, dict[str, Any]]:
        """Return group and message of a hint, as the publisher would send it."""
        group = room_names.shipment_group(self.by.organization_id, self.references[number])
        return group, {
            "type": "hint", "group": group, "seq": self._seqs[frame], "epoch": epoch.current(), "frame": frame,
            "ends": False, "reassigns": False, "at": time.time(),
        }  # fmt: skip

    def hint(self, number: int, frame: bytes) -> None:
        """Publish a hint as the process of the writer does."""
        group = room_names.shipment_group(self.by.organization_id, self.references[number])
        publisher.publish_hint(group, seq=self._seqs[frame], epoch=epoch.current(), frame=frame, ends=False)

    def token(self) -> str:
        """Log in as the dispatcher and return the header."""
        credentials = {"email": "dispatcher@demo.test", "password": "freight-demo"}
        answer = Client(SERVER_NAME="localhost").post(
            "/api/auth/login", credentials, content_type="application/json"
        )
        return f"Bearer {answer.json()['access']}"


def peers_of(folder: Path, event_source: EventSource, names: Sequence[str]) -> list[peers.Peer]:
    """Return the peers of these names; none is started."""
    if {"socket.io", "bun"} & set(names):
        peers.install_node(folder)
    url = settings.REDIS_URL
    peers_by_name: dict[str, peers.Peer] = {
        "freight": peers.Freight(
            folder,
            url,
            token=event_source.token(),
            prefix=event_source.prefix,
            hint=event_source.hint,
            message=event_source.message,
        ),
        "textbook": peers.Textbook(folder, url),
        "socket.io": peers.SocketIo(folder, url),
        "bun": peers.Bun(folder, url),
    }
    return [peers_by_name[name] for name in names]
