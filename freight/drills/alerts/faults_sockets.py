"""Faults of sockets: more of them than anybody planned for, and clients that stop reading."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from freight.drills.alerts.load import Load
from freight.drills.delivery import sockets
from freight.drills.delivery.requests import Caller
from freight.drills.delivery.scene import wide
from freight.drills.delivery.sockets import Socket
from freight.drills.delivery.stage import SOCKETS, Stage

_MANY: Final = 5_100
_COMING_AT_ONCE: Final = 64
_STOPPED: Final = 15
# So many events of some 3 KB each, many in a transaction: more than buffers and the megabyte that may wait hold.
_POURED: Final = 800
_POURED_AT_ONCE: Final = 50
_WIDTH: Final = 20


@asynccontextmanager
async def many(stage: Stage, _: Load) -> AsyncIterator[None]:
    """More sockets than one installation is meant for, straight at the two Daphnes."""
    async with _opened(stage, _MANY, list(SOCKETS)):
        yield


@asynccontextmanager
async def stopped_reading(stage: Stage, load: Load) -> AsyncIterator[None]:
    """Clients that joined a room in which much happens, and read nothing any more."""
    async with _opened(stage, _STOPPED, [SOCKETS[0]]) as seats:
        for seat in seats:
            seat.say(type="join:room", shipmentId=load.reference)
        await asyncio.sleep(1)
        for seat in seats:
            seat.pause()
        pouring = asyncio.create_task(_pour(stage, load.reference))
        try:
            yield
        finally:
            await pouring


@asynccontextmanager
async def _opened(stage: Stage, number: int, roles: list[str]) -> AsyncIterator[list[Socket]]:
    """This will open so many sockets, some at a time, and drop them in the end."""
    seats: list[Socket] = []
    addresses = itertools.cycle([stage.roles[name].socket for name in roles])
    ways = zip(range(number), addresses, itertools.cycle(stage.keys))

    async def come() -> None:
        for _, address, key in ways:
            if address is not None:
                seats.append(await sockets.connect(address, key, lambda *_: None))

    try:
        await asyncio.gather(*(come() for _ in range(min(number, _COMING_AT_ONCE))))
        yield seats
    finally:
        for seat in seats:
            seat.drop()
        await asyncio.sleep(0)  # what was dropped is closed in the loop's next turn


async def _pour(stage: Stage, reference: str) -> None:
    caller = Caller(stage.port, stage.keys[0])
    try:
        for _ in range(_POURED // _POURED_AT_ONCE):
            items = [
                {"op": "update", "reference": reference, "references": wide(_WIDTH)} for _ in range(_POURED_AT_ONCE)
            ]
            answer = await caller.call("POST", "/api/shipments/bulk", {"items": items}, seconds=60)
            if answer.status != 200 or answer.json()["failed"]:
                raise RuntimeError(f"Not poured: {answer.status} {answer.body[:500]!r}")
    finally:
        await caller.close()
