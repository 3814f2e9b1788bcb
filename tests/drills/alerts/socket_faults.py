"""Faults of sockets: more of them than anybody planned for, and clients that stop reading."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.drills.alerts.background_traffic import BackgroundTraffic
from tests.drills.clients import websocket_client
from tests.drills.clients.http_client import HttpClient
from tests.drills.clients.websocket_client import WebSocketClient
from tests.drills.clients.writers import wide_references
from tests.drills.harness.product_stage import WS_ROLES, ProductStage

_MANY_SOCKETS: Final = 5_100
_CONNECT_CONCURRENCY: Final = 64
_STOPPED_READERS: Final = 15
# So many events of some 3 KB each, many in a transaction: more than buffers and the megabyte that may wait hold.
_EVENTS: Final = 800
_EVENTS_PER_TRANSACTION: Final = 50
_REFERENCES_PER_EVENT: Final = 20


@asynccontextmanager
async def many_sockets(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """More sockets than one installation is meant for, straight at the two Daphnes."""
    async with _open_sockets(stage, _MANY_SOCKETS, list(WS_ROLES)):
        yield


@asynccontextmanager
async def stopped_reading(stage: ProductStage, traffic: BackgroundTraffic) -> AsyncIterator[None]:
    """Clients that joined a room in which much happens, and read nothing any more."""
    async with _open_sockets(stage, _STOPPED_READERS, [WS_ROLES[0]]) as websockets:
        for websocket in websockets:
            websocket.send_json(type="join:room", shipmentId=traffic.reference)
        await asyncio.sleep(1)
        for websocket in websockets:
            websocket.pause_reading()
        burst = asyncio.create_task(_write_burst(stage, traffic.reference))
        try:
            yield
        finally:
            await burst


@asynccontextmanager
async def _open_sockets(stage: ProductStage, number: int, roles: list[str]) -> AsyncIterator[list[WebSocketClient]]:
    """Open so many sockets, some at a time, and drop them in the end."""
    websockets: list[WebSocketClient] = []
    addresses = itertools.cycle([stage[name].socket for name in roles])
    connections = zip(range(number), addresses, itertools.cycle(stage.seeded.api_keys))

    async def connect_next() -> None:
        for _, address, key in connections:
            if address is not None:
                websockets.append(await websocket_client.connect(address, key, lambda *_: None))

    try:
        await asyncio.gather(*(connect_next() for _ in range(min(number, _CONNECT_CONCURRENCY))))
        yield websockets
    finally:
        for websocket in websockets:
            websocket.abort()
        await asyncio.sleep(0)  # what was dropped is closed in the loop's next turn


async def _write_burst(stage: ProductStage, reference: str) -> None:
    client = HttpClient(stage.port, stage.seeded.api_keys[0])
    try:
        for _ in range(_EVENTS // _EVENTS_PER_TRANSACTION):
            items = [
                {"op": "update", "reference": reference, "references": wide_references(_REFERENCES_PER_EVENT)}
                for _ in range(_EVENTS_PER_TRANSACTION)
            ]
            response = await client.request("POST", "/api/shipments/bulk", {"items": items}, seconds=60)
            if response.status != 200 or response.json()["failed"]:
                raise RuntimeError(f"Not poured: {response.status} {response.body[:500]!r}")
    finally:
        await client.close()
