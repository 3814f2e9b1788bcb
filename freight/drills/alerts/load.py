"""Who uses the product meanwhile: readers, a writer and a socket, without whom no rate would move."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from freight.drills.delivery import sockets
from freight.drills.delivery.requests import Caller, NoAnswer, NotSent
from freight.drills.delivery.stage import Stage

_READERS: Final = 6
_PAUSE_SECONDS: Final = 0.05


@dataclass
class Load:
    """What the readers ask: a page that the caches know, or one that nobody has asked for.

    `reference`: the shipment that everything is about.
    """

    reference: str
    cold: bool = False


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[Load]:
    """This will read, write and listen for as long as the block runs."""
    reference = await _booked(stage)
    load = Load(reference)
    tasks = [
        *(asyncio.create_task(_read(stage, number, load, reference)) for number in range(_READERS)),
        asyncio.create_task(_write(stage, reference)),
        asyncio.create_task(_sit(stage, reference)),
    ]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was dropped is closed in the loop's next turn


async def _booked(stage: Stage) -> str:
    caller = Caller(stage.port, stage.keys[0])
    try:
        body = {"origin": "NLRTM", "destination": "DEHAM", "status": "booked"}
        return str((await caller.call("POST", "/api/shipments", body)).json()["reference"])
    finally:
        await caller.close()


async def _read(stage: Stage, number: int, load: Load, reference: str) -> None:
    caller = Caller(stage.port, stage.keys[number])
    chance = random.Random(number)  # noqa: S311  nothing depends on it
    try:
        while True:
            path = f"/api/shipments/{reference}"
            if load.cold:
                path = f"/api/shipments?limit=1&createdAfter=2026-01-01T00:00:{chance.uniform(10, 59):.6f}Z"
            with contextlib.suppress(NotSent, NoAnswer):
                await caller.call("GET", path)
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        caller.drop()


async def _write(stage: Stage, reference: str) -> None:
    caller = Caller(stage.port, stage.keys[_READERS])
    try:
        while True:
            with contextlib.suppress(NotSent, NoAnswer):
                await caller.call("POST", f"/api/shipments/{reference}/checkpoints", _estimate())
            await asyncio.sleep(4 * _PAUSE_SECONDS)
    finally:
        caller.drop()


def _estimate() -> dict[str, Any]:
    return {
        "occurredAt": datetime.now(UTC).isoformat(), "classifier": "EST", "source": "drill",
        "sourceEventId": uuid.uuid4().hex,
    }  # fmt: skip


async def _sit(stage: Stage, reference: str) -> None:
    while True:
        with contextlib.suppress(OSError, TimeoutError, sockets.Refused):
            seat = await sockets.connect(stage.port, stage.keys[_READERS + 1], lambda *_: None)
            seat.say(type="join:room", shipmentId=reference)
            try:
                await seat.ended
            finally:
                seat.drop()
        await asyncio.sleep(1)
