"""The doors by which the log goes out live: sockets and streams, before and while staff change a shipment."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import httpx
import orjson
from websockets.sync.client import ClientConnection, connect

from tests.drills.harness.process import ProductProcess
from tests.journeys.visibility.doors import Look
from tests.journeys.visibility.world import Viewer, World

SECONDS: Final = 30
REFERENCE: Final = "A1"


class Socket:
    """One socket of a viewer in the room of A1; `since` asks for a replay of the whole log."""

    def __init__(
        self, daphne: ProductProcess, viewer: Viewer, *, since: int | None, epoch: str, stack: ExitStack
    ) -> None:
        self.viewer, self.frames = viewer, list[dict[str, Any]]()
        self._door = f"socket of {viewer.name}, since {since}"
        protocol: Any = "freight.v1"
        self._connection: ClientConnection = stack.enter_context(
            connect(daphne.ws_url, additional_headers=viewer.headers, subprotocols=[protocol], open_timeout=SECONDS)
        )
        self.send({"type": "join:room", "shipmentId": REFERENCE, "since": since, "epoch": epoch})
        self.read_until("room:joined")

    def send(self, frame: dict[str, Any]) -> None:
        self._connection.send(
            orjson.dumps({name: value for name, value in frame.items() if value is not None}).decode()
        )

    def read_until(self, kind: str, seq: int = 0) -> None:
        """Read up to a frame of this type, from `seq` on."""
        while True:
            frame = orjson.loads(self._connection.recv(timeout=SECONDS))
            self.frames.append(frame)
            if frame["type"] == kind and frame.get("seq", 0) >= seq:
                return

    def ask_for(self, rooms: list[str]) -> None:
        """Ask for rooms that may be refused, and read the answers up to a pong."""
        for room in rooms:
            self.send({"type": "join:room", "room": room})
        self.send({"type": "ping", "t": 1})
        self.read_until("pong")

    def looks(self, asked_for: list[str]) -> Iterator[Look]:
        """Yield every frame, without the names of the rooms that were asked for."""
        for frame in self.frames:
            text = orjson.dumps(frame).decode()
            for room in asked_for:
                text = text.replace(room, "")
            yield Look(f"{self._door}: {frame['type']}", 101, text)


class Stream:
    """An event stream of A1."""

    def __init__(self, daphne: ProductProcess, viewer: Viewer, *, last: str, stack: ExitStack) -> None:
        self._door = f"stream of {viewer.name}, after {last or 'nothing'}"
        headers = viewer.headers | ({"Last-Event-ID": last} if last else {})
        http = stack.enter_context(httpx.Client(base_url=daphne.url, timeout=SECONDS))
        self._response = stack.enter_context(
            http.stream("GET", f"/api/shipments/{REFERENCE}/stream", headers=headers)
        )
        assert self._response.status_code == 200, self._response.read()
        self._lines = self._response.iter_lines()
        self.read: list[str] = []

    def read_until(self, seq: int) -> None:
        """Read up to the event with this number, or up to the end of the stream."""
        for line in self._lines:
            self.read.append(line)
            if line.startswith("id: ") and int(line.rpartition(":")[2]) >= seq:
                self.read.append(next(self._lines))
                self.read.append(next(self._lines))
                return

    def looks(self) -> Iterator[Look]:
        yield Look(self._door, 200, "\n".join(self.read))


def closed_rooms(world: World) -> list[str]:
    """Return rooms into which customers and links may not look."""
    return [
        "shipments:all", f"shipment:{world.other_reference}", f"driver:{world.drivers[0].pk}",
        f"driver:{world.other_driver.pk}", f"export:{world.names['export_id'][0]}",
        f"import:{world.names['import_id'][0]}",
    ]  # fmt: skip


def change_everything(http: httpx.Client, world: World) -> int:
    """Change A1 as staff do, with a mark in every word for staff; return its newest seq."""
    marks, headers = world.marks, world.viewers["dispatcher"].headers | {"If-Match": "*"}
    path = f"/api/shipments/{REFERENCE}"
    other_driver = world.driver("Driver 5")

    def write(method: str, suffix: str, body: dict[str, Any]) -> dict[str, Any]:
        request_id = {"X-Request-ID": marks.new("ShipmentEvent.request_id")}
        response = http.request(method, path + suffix, json=body, headers=headers | request_id)
        assert response.is_success, response.text
        written: dict[str, Any] = response.json()
        return written

    write("PATCH", "", {"notes": marks.new("Shipment.notes"), "pieces": 9})
    write("POST", "/flags", {"flag": "refused", "reason": marks.new("Shipment.flags")})
    write("DELETE", "/flags/damaged", {})
    write(
        "POST",
        "/transitions",
        {"to": "out_for_delivery", "reason": marks.new("AuditEntry.after"), "note": "on its way"},
    )
    report = {"classifier": "ACT", "occurredAt": "2026-01-01T00:00:00Z", "status": "in_transit", "source": "public"}
    checkpoint = write("POST", "/checkpoints", report)
    write("POST", f"/checkpoints/{checkpoint['id']}/void", {"reason": marks.new("Checkpoint.void_reason")})
    wrong = write("POST", "/transitions", {"to": "delivered", "note": "handed over"})
    write("POST", f"/events/{wrong['seq']}/void", {"reason": marks.new("ShipmentEvent.data")})
    write("PATCH", "", {"driverId": str(other_driver.pk)})
    http.patch(
        f"/api/drivers/{other_driver.pk}", json={"phone": marks.new("Driver.phone")}, headers=headers
    ).raise_for_status()
    shipment = write("PATCH", "", {"pieces": 10, "notes": marks.new("Shipment.notes")})
    return int(shipment["seq"])
