"""Readers, a writer and a socket in the background, without which no rate would move."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tests.drills.clients import websocket_client
from tests.drills.clients.http_client import HttpClient, NoResponse, NotSent
from tests.drills.harness.product_stage import ProductStage

_READERS: Final = 6
_PAUSE_SECONDS: Final = 0.05


@dataclass
class BackgroundTraffic:
    """What the readers request: a cached shipment, or with `bypass_cache` a list that is never cached.

    `reference`: the shipment.
    """

    reference: str
    bypass_cache: bool = False


@asynccontextmanager
async def running_traffic(stage: ProductStage) -> AsyncIterator[BackgroundTraffic]:
    """Read, write and subscribe for the length of the block."""
    reference = await _book_shipment(stage)
    traffic = BackgroundTraffic(reference)
    tasks = [
        *(asyncio.create_task(_read(stage, number, traffic, reference)) for number in range(_READERS)),
        asyncio.create_task(_write(stage, reference)),
        asyncio.create_task(_subscribe(stage, reference)),
    ]
    try:
        yield traffic
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close in the loop's next turn


async def _book_shipment(stage: ProductStage) -> str:
    client = HttpClient(stage.port, stage.seeded.api_keys[0])
    try:
        body = {"origin": "NLRTM", "destination": "DEHAM", "status": "booked"}
        return str((await client.request("POST", "/api/shipments", body)).json()["reference"])
    finally:
        await client.close()


async def _read(stage: ProductStage, number: int, traffic: BackgroundTraffic, reference: str) -> None:
    client = HttpClient(stage.port, stage.seeded.api_keys[number])
    rng = random.Random(number)
    try:
        while True:
            path = f"/api/shipments/{reference}"
            if traffic.bypass_cache:
                path = f"/api/shipments?limit=1&createdAfter=2026-01-01T00:00:{rng.uniform(10, 59):.6f}Z"
            with contextlib.suppress(NotSent, NoResponse):
                await client.request("GET", path)
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        client.abort()


async def _write(stage: ProductStage, reference: str) -> None:
    client = HttpClient(stage.port, stage.seeded.api_keys[_READERS])
    try:
        while True:
            with contextlib.suppress(NotSent, NoResponse):
                await client.request("POST", f"/api/shipments/{reference}/checkpoints", _checkpoint_body())
            await asyncio.sleep(4 * _PAUSE_SECONDS)
    finally:
        client.abort()


def _checkpoint_body() -> dict[str, Any]:
    return {
        "occurredAt": datetime.now(UTC).isoformat(), "classifier": "EST", "source": "drill",
        "sourceEventId": uuid.uuid4().hex,
    }  # fmt: skip


async def _subscribe(stage: ProductStage, reference: str) -> None:
    while True:
        with contextlib.suppress(OSError, TimeoutError, websocket_client.HandshakeRefused):
            websocket = await websocket_client.connect(
                stage.port, stage.seeded.api_keys[_READERS + 1], lambda *_: None
            )
            websocket.send_json(type="join:room", shipmentId=reference)
            try:
                await websocket.closed
            finally:
                websocket.abort()
        await asyncio.sleep(1)
