"""A world in which anything may happen in any order, and the model that it must equal.

The acts are asynchronous and play on a stage; `machine.py` chooses them. What a shipment is and what happened to it
is kept here by the rules of the domain alone, and compared with what REST says and what every guest was told.
"""

import asyncio
import contextlib
import signal
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from freight.drills.delivery.guests import Guest
from freight.drills.delivery.requests import Answer, Caller
from freight.drills.delivery.stage import SOCKETS, Stage
from freight.drills.delivery.watchers import all_whole
from shipments import lifecycle

REVOKED_SECONDS: Final = 3.0
_PATIENCE_SECONDS: Final = 20.0
_CLOSED_BY_REVOCATION: Final = 4403
_KILLABLE: Final = (*SOCKETS, "api-1", "relay")


class Differs(AssertionError):
    """The world is not what the model says."""


@dataclass(slots=True)
class Modelled:
    """A shipment as the model has it: the status after each of its events."""

    reference: str
    statuses: list[str]

    @property
    def room(self) -> str:
        """Where it is told of."""
        return f"shipment:{self.reference}"


@dataclass(slots=True)
class Entered:
    """A guest, the path by which its key is revoked, and when it was."""

    guest: Guest
    path: str
    revoked_at: float = 0.0


@dataclass(slots=True)
class World:
    """One run of the machine: shipments and guests of its own, on a stage that others have used before."""

    stage: Stage
    seed: object
    steps: Counter[str] = field(default_factory=Counter)
    shipments: list[Modelled] = field(default_factory=list)
    guests: list[Entered] = field(default_factory=list)
    admin: Caller | None = None
    writer: Caller | None = None
    driver: str = ""

    async def begin(self) -> None:
        """This will let the administrator log in, and hire a driver."""
        door = Caller(self.stage.port)
        entered = await door.call("POST", "/api/auth/login", self.stage.administrator)
        await door.close()
        self.admin = Caller(self.stage.port, entered.json()["access"])
        self.writer = Caller(self.stage.port, self.stage.keys[0])
        hired = await self.admin.call("POST", "/api/drivers", {"name": "Driver"})
        _expect(hired, 201, "a driver")
        self.driver = hired.json()["id"]

    # -- acts ---------------------------------------------------------------------------------------------

    async def create(self) -> None:
        """This will book a shipment."""
        reference = f"M-{uuid.uuid4().hex[:12].upper()}"
        body = {
            "reference": reference, "origin": "NLRTM", "destination": "DEHAM", "status": "booked",
            "driverId": self.driver,
        }  # fmt: skip
        _expect(await self._write("POST", "/api/shipments", body), 201, "booked")
        self.shipments.append(Modelled(reference, ["booked"]))

    async def transition(self, number: int, choice: int) -> None:
        """This will ask for a state: mostly for one that may follow."""
        shipment = self.moving[number % len(self.moving)]
        now = shipment.statuses[-1]
        allowed = lifecycle.allowed_transitions(now, assigned=True, on_hold=False)
        wanted = lifecycle.STATES if choice % 5 == 4 or not allowed else allowed
        to = wanted[choice // 5 % len(wanted)]
        answer = await self._write("POST", f"/api/shipments/{shipment.reference}/transitions", {"to": to})
        if to != now and to not in allowed:
            _expect(answer, 409, f"{now} → {to}")
            return
        _expect(answer, 200, f"{now} → {to}")
        if to != now:  # what it is already, it is without an event
            shipment.statuses.append(to)
        told = answer.json()
        if (told["status"], told["seq"]) != (to, len(shipment.statuses)):
            raise Differs(f"{shipment} was answered as {told['status']} {told['seq']}.")

    async def arrive(self) -> None:
        """This will have one more guest open a socket, with a key of its own, for the newest shipment."""
        assert self.admin is not None  # noqa: S101  begun
        made = await self.admin.call("POST", "/api/auth/api-keys", {"name": "guest", "scopes": ["shipments:read"]})
        _expect(made, 201, "a key")
        guest = Guest(self.stage.port, made.json()["secret"], seed=f"{self.seed}/{len(self.guests)}")
        self.guests.append(Entered(guest, f"/api/auth/api-keys/{made.json()['id']}"))
        guest.enter(self.shipments[-1].room)
        guest.start()

    async def join(self, number: int, room: int) -> None:
        """This will have a guest ask for a room."""
        self.present[number % len(self.present)].guest.enter(
            self.shipments[-1 - room % min(4, len(self.shipments))].room
        )

    async def leave(self, number: int, room: int) -> None:
        """This will have a guest leave one of its rooms."""
        guest = self.present[number % len(self.present)].guest
        if guest.records:
            guest.leave(sorted(guest.records)[room % len(guest.records)])

    async def disconnect(self, number: int) -> None:
        """This will cut a guest's socket; it comes back by itself."""
        self.present[number % len(self.present)].guest.drop()

    async def kill(self, number: int) -> None:
        """This will end a process by SIGKILL and start another in its place, without waiting for it."""
        for name in _KILLABLE:
            await self.stage.ready(name)  # one at a time: the others stand in for it
        name = _KILLABLE[number % len(_KILLABLE)]
        self.stage.signal(name, signal.SIGKILL)
        await self.stage.gone(name)
        self.stage.launch(name)

    async def flush(self) -> None:
        """This will empty Redis."""
        with contextlib.closing(self.stage.hints.client()) as client:
            await asyncio.to_thread(client.flushall)

    async def revoke(self, number: int) -> None:
        """This will revoke a guest's key: from then on it is told nothing."""
        assert self.admin is not None  # noqa: S101  begun
        entered = self.present[number % len(self.present)]
        _expect(await self.admin.call("DELETE", entered.path), 204, "revoked")
        entered.revoked_at = time.time()

    @property
    def deliveries(self) -> int:
        """How many events the guests were told."""
        stays = (stays for entered in self.guests for stays in entered.guest.stays().values())
        return sum(len(record.ids) for records in stays for record in records)

    @property
    def moving(self) -> list[Modelled]:
        """The shipments that may still go on."""
        return [shipment for shipment in self.shipments if lifecycle.TRANSITIONS[shipment.statuses[-1]]]

    @property
    def present(self) -> list[Entered]:
        """The guests whose keys are good."""
        return [entered for entered in self.guests if not entered.revoked_at]

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        assert self.writer is not None  # noqa: S101  begun
        return await self.writer.call(method, path, body, Idempotency_Key=uuid.uuid4().hex)

    # -- the comparison -----------------------------------------------------------------------------------

    async def equals_the_model(self) -> None:
        """This will wait until every guest has all that it should have, and compare; raises Differs."""
        guests = [entered.guest for entered in self.present]
        if not await all_whole(guests, _PATIENCE_SECONDS):
            raise Differs(f"Not every guest came in: {[guest.seen for guest in guests]}")
        logs = {shipment.room: await self._log(shipment) for shipment in self.shipments}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not all(_has_all(guest, logs) for guest in guests):
            if time.monotonic() > deadline:
                break  # the comparison says who has not
            await asyncio.sleep(0.02)
        for entered in self.guests:
            _compare(entered.guest, logs, to_the_end=not entered.revoked_at)
            if entered.revoked_at:
                await _is_out(entered)

    async def end(self) -> None:
        """This will have everybody go."""
        for entered in self.present:
            if self.admin is not None:
                await self.admin.call("DELETE", entered.path)
        await asyncio.gather(*(entered.guest.stop() for entered in self.guests))
        for caller in (self.admin, self.writer):
            if caller is not None:
                await caller.close()

    async def _log(self, shipment: Modelled) -> list[str]:
        """This will return the ids of a shipment's events, after it was found to be what the model says."""
        assert self.writer is not None  # noqa: S101  begun
        path = f"/api/shipments/{shipment.reference}"
        shown = (await self.writer.call("GET", path)).json()
        if (shown["status"], shown["seq"]) != (shipment.statuses[-1], len(shipment.statuses)):
            raise Differs(f"{shipment} is shown as {shown['status']} {shown['seq']}.")
        events = (await self.writer.call("GET", f"{path}/events")).json()["events"]
        if [event["status"] for event in events] != shipment.statuses:
            raise Differs(f"{shipment} has another log: {[event['status'] for event in events]}.")
        return [event["id"] for event in events]


def _expect(answer: Answer, status: int, what: str) -> None:
    if answer.status != status:
        raise Differs(f"{what}: {answer.status} instead of {status}, {answer.body[:300]!r}")


def _has_all(guest: Guest, logs: dict[str, list[str]]) -> bool:
    newest = {room: guest.newest(room) for room in guest.records}
    return all(record is not None and record.last >= len(logs[room]) for room, record in newest.items())


def _compare(guest: Guest, logs: dict[str, list[str]], *, to_the_end: bool) -> None:
    for room, stays in guest.stays().items():
        for record in stays:
            if record.ids != logs[room][record.base : record.last]:
                raise Differs(f"A guest was told {record} of {room}, whose log is {logs[room]}.")
    if to_the_end and not _has_all(guest, logs):
        raise Differs(f"A guest was not told everything: {guest.records}, {guest.seen}.")
    if guest.stray or guest.seen.gaps or guest.seen.duplicates:
        raise Differs(
            f"A guest was told of rooms it is not in, or twice, or with gaps: {guest.stray}, {guest.seen}."
        )


async def _is_out(entered: Entered) -> None:
    guest = entered.guest
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(guest.over.wait(), _PATIENCE_SECONDS)
    if guest.seen.closes[_CLOSED_BY_REVOCATION] + guest.seen.closes[4401] != 1:
        raise Differs(f"A guest whose key was revoked is not out: {guest.seen}.")
    told = [at for stays in guest.stays().values() for record in stays for at in record.at]
    if max(told, default=0.0) > entered.revoked_at + REVOKED_SECONDS:
        raise Differs(
            f"A guest was told something {max(told) - entered.revoked_at:.2f} s after its key was revoked."
        )
