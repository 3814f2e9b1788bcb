"""The acts of an interleaving, and the model that the product must equal.

`interleaving_machine.py` chooses the acts. The model follows the rules of the domain alone, and is compared with
REST and with what every client received.
"""

import asyncio
import contextlib
import signal
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from shipments.domain import lifecycle
from tests.drills.clients.http_client import HttpClient, Response
from tests.drills.clients.subscribers import wait_until_synced
from tests.drills.clients.transient_clients import TransientClient
from tests.drills.harness.product_stage import WS_ROLES, ProductStage

REVOKED_SECONDS: Final = 3.0
_MAX_WAIT_SECONDS: Final = 20.0
_CLOSED_BY_REVOCATION: Final = 4403
_KILLABLE: Final = (*WS_ROLES, "api-1", "relay")


class ModelMismatch(AssertionError):
    """The product differs from the model."""


@dataclass(slots=True)
class ModelShipment:
    """A shipment of the model: the status after each of its events."""

    reference: str
    statuses: list[str]

    @property
    def room(self) -> str:
        """The room of its events."""
        return f"shipment:{self.reference}"


@dataclass(slots=True)
class ModelClient:
    """A client, the path of its API key, and when the key was revoked (wall clock, 0 if it was not)."""

    client: TransientClient
    path: str
    revoked_at: float = 0.0


@dataclass(slots=True)
class World:
    """One run of the machine: shipments and clients of its own, on a stage that earlier scenarios have used."""

    stage: ProductStage
    seed: object
    steps: Counter[str] = field(default_factory=Counter)
    shipments: list[ModelShipment] = field(default_factory=list)
    clients: list[ModelClient] = field(default_factory=list)
    admin: HttpClient | None = None
    writer: HttpClient | None = None
    driver: str = ""

    async def begin(self) -> None:
        """Log the administrator in, and create a driver."""
        anonymous = HttpClient(self.stage.port)
        login = await anonymous.request("POST", "/api/auth/login", self.stage.seeded.administrator_login)
        await anonymous.close()
        self.admin = HttpClient(self.stage.port, login.json()["access"])
        self.writer = HttpClient(self.stage.port, self.stage.seeded.api_keys[0])
        driver = await self.admin.request("POST", "/api/drivers", {"name": "Driver"})
        _expect_status(driver, 201, "a driver")
        self.driver = driver.json()["id"]

    # -- acts ---------------------------------------------------------------------------------------------

    async def create(self) -> None:
        """Book a shipment."""
        reference = f"M-{uuid.uuid4().hex[:12].upper()}"
        body = {
            "reference": reference, "origin": "NLRTM", "destination": "DEHAM", "status": "booked",
            "driverId": self.driver,
        }  # fmt: skip
        _expect_status(await self._request("POST", "/api/shipments", body), 201, "booked")
        self.shipments.append(ModelShipment(reference, ["booked"]))

    async def transition(self, number: int, choice: int) -> None:
        """Request a transition, mostly an allowed one."""
        shipment = self.movable[number % len(self.movable)]
        current = shipment.statuses[-1]
        allowed = lifecycle.allowed_transitions(current, assigned=True, on_hold=False)
        choices = lifecycle.STATES if choice % 5 == 4 or not allowed else allowed
        to = choices[choice // 5 % len(choices)]
        response = await self._request("POST", f"/api/shipments/{shipment.reference}/transitions", {"to": to})
        if to != current and to not in allowed:
            _expect_status(response, 409, f"{current} → {to}")
            return
        _expect_status(response, 200, f"{current} → {to}")
        if to != current:  # a transition to the present state writes no event
            shipment.statuses.append(to)
        shown = response.json()
        if (shown["status"], shown["seq"]) != (to, len(shipment.statuses)):
            raise ModelMismatch(f"{shipment} was answered as {shown['status']} {shown['seq']}.")

    async def arrive(self) -> None:
        """Open the socket of one more client, with a key of its own, and join the newest shipment's room."""
        assert self.admin is not None
        created = await self.admin.request(
            "POST", "/api/auth/api-keys", {"name": "drill", "scopes": ["shipments:read"]}
        )
        _expect_status(created, 201, "a key")
        client = TransientClient(self.stage.port, created.json()["secret"], seed=f"{self.seed}/{len(self.clients)}")
        self.clients.append(ModelClient(client, f"/api/auth/api-keys/{created.json()['id']}"))
        client.join(self.shipments[-1].room)
        client.start()

    async def join(self, number: int, room: int) -> None:
        """Have a client join a room."""
        self.active_clients[number % len(self.active_clients)].client.join(
            self.shipments[-1 - room % min(4, len(self.shipments))].room
        )

    async def leave(self, number: int, room: int) -> None:
        """Have a client leave one of its rooms."""
        client = self.active_clients[number % len(self.active_clients)].client
        if client.records:
            client.leave(sorted(client.records)[room % len(client.records)])

    async def disconnect(self, number: int) -> None:
        """Reset a client's connection; it reconnects by itself."""
        self.active_clients[number % len(self.active_clients)].client.abort()

    async def kill(self, number: int) -> None:
        """Kill a process and start another in its place, without waiting until that is ready."""
        for name in _KILLABLE:
            await self.stage[name].ready()  # one at a time: the others take its traffic
        name = _KILLABLE[number % len(_KILLABLE)]
        self.stage[name].signal(signal.SIGKILL)
        await self.stage[name].gone()
        self.stage[name].launch()

    async def flush(self) -> None:
        """Empty Redis."""
        with contextlib.closing(self.stage.valkey.client()) as client:
            await asyncio.to_thread(client.flushall)

    async def revoke(self, number: int) -> None:
        """Revoke a client's key: from then on it receives nothing."""
        assert self.admin is not None
        target = self.active_clients[number % len(self.active_clients)]
        _expect_status(await self.admin.request("DELETE", target.path), 204, "revoked")
        target.revoked_at = time.time()

    @property
    def delivered_count(self) -> int:
        """The number of events that the clients received."""
        records_by_room = (stays for each in self.clients for stays in each.client.all_records().values())
        return sum(len(record.ids) for records in records_by_room for record in records)

    @property
    def movable(self) -> list[ModelShipment]:
        """The shipments that have a next state."""
        return [shipment for shipment in self.shipments if lifecycle.TRANSITIONS[shipment.statuses[-1]]]

    @property
    def active_clients(self) -> list[ModelClient]:
        """The clients whose keys are valid."""
        return [each for each in self.clients if not each.revoked_at]

    async def _request(self, method: str, path: str, body: dict[str, Any]) -> Response:
        assert self.writer is not None
        return await self.writer.request(method, path, body, Idempotency_Key=uuid.uuid4().hex)

    # -- the comparison -----------------------------------------------------------------------------------

    async def equals_the_model(self) -> None:
        """Wait until every client has caught up, and compare; raises ModelMismatch."""
        clients = [each.client for each in self.active_clients]
        if not await wait_until_synced(clients, _MAX_WAIT_SECONDS):
            raise ModelMismatch(f"Not every client is in its rooms: {[client.stats for client in clients]}")
        logs = {shipment.room: await self._check_and_list_ids(shipment) for shipment in self.shipments}
        deadline = time.monotonic() + _MAX_WAIT_SECONDS
        while not all(_is_caught_up(client, logs) for client in clients):
            if time.monotonic() > deadline:
                break  # the comparison names the client
            await asyncio.sleep(0.02)
        for each in self.clients:
            _compare_records(each.client, logs, to_the_end=not each.revoked_at)
            if each.revoked_at:
                await _check_revoked(each)

    async def end(self) -> None:
        """Revoke the keys and close every client."""
        for each in self.active_clients:
            if self.admin is not None:
                await self.admin.request("DELETE", each.path)
        await asyncio.gather(*(each.client.stop() for each in self.clients))
        for caller in (self.admin, self.writer):
            if caller is not None:
                await caller.close()

    async def _check_and_list_ids(self, shipment: ModelShipment) -> list[str]:
        """Compare a shipment with the model, and return the ids of its events; raises ModelMismatch."""
        assert self.writer is not None
        path = f"/api/shipments/{shipment.reference}"
        shipment_json = (await self.writer.request("GET", path)).json()
        if (shipment_json["status"], shipment_json["seq"]) != (shipment.statuses[-1], len(shipment.statuses)):
            raise ModelMismatch(f"{shipment} is shown as {shipment_json['status']} {shipment_json['seq']}.")
        events = (await self.writer.request("GET", f"{path}/events")).json()["events"]
        if [event["status"] for event in events] != shipment.statuses:
            raise ModelMismatch(f"{shipment} has another log: {[event['status'] for event in events]}.")
        return [event["id"] for event in events]


def _expect_status(answer: Response, status: int, what: str) -> None:
    if answer.status != status:
        raise ModelMismatch(f"{what}: {answer.status} instead of {status}, {answer.body[:300]!r}")


def _is_caught_up(client: TransientClient, logs: dict[str, list[str]]) -> bool:
    newest = {room: client.current_record(room) for room in client.records}
    return all(record is not None and record.last >= len(logs[room]) for room, record in newest.items())


def _compare_records(client: TransientClient, logs: dict[str, list[str]], *, to_the_end: bool) -> None:
    for room, stays in client.all_records().items():
        for record in stays:
            if record.ids != logs[room][record.base : record.last]:
                raise ModelMismatch(f"A client received {record} of {room}, whose log is {logs[room]}.")
    if to_the_end and not _is_caught_up(client, logs):
        raise ModelMismatch(f"A client did not receive everything: {client.records}, {client.stats}.")
    if client.unexpected_updates or client.stats.gaps or client.stats.duplicates:
        raise ModelMismatch(
            "A client received events of other rooms, or twice, or with gaps:"
            f" {client.unexpected_updates}, {client.stats}."
        )


async def _check_revoked(each: ModelClient) -> None:
    client = each.client
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_MAX_WAIT_SECONDS):
            await client.finished.wait()
    if client.stats.closes[_CLOSED_BY_REVOCATION] + client.stats.closes[4401] != 1:
        raise ModelMismatch(f"A client whose key was revoked is not closed: {client.stats}.")
    receipt_times = [at for stays in client.all_records().values() for record in stays for at in record.at]
    if max(receipt_times, default=0.0) > each.revoked_at + REVOKED_SECONDS:
        raise ModelMismatch(
            f"A client received an event {max(receipt_times) - each.revoked_at:.2f} s after its key was revoked."
        )
