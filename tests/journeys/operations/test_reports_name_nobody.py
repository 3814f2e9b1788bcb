"""What the installation tells of itself names no organisation, room, person or shipment of it."""

import asyncio
import contextlib

import httpx
import pytest
from asgiref.sync import sync_to_async

from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.journeys import clients
from tests.journeys.clients import SocketClient

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


async def test_rooms_are_counted_by_kind_and_never_named(product: ProductStage) -> None:
    organization = await sync_to_async(factories.organization)("Secretive Shippers")
    by = await sync_to_async(factories.member)(organization, "dispatcher")
    references = [(await sync_to_async(factories.booked_shipment)(by)).reference for _ in range(2)]
    http = await sync_to_async(clients.logged_in_client)(product.api, organization, "dispatcher")
    with contextlib.closing(http):
        token = str(http.headers["Authorization"])
        report = f"{product.api.url}/api/metrics/websocket"
        async with SocketClient(product.ws[0], token) as socket, httpx.AsyncClient(timeout=10) as operator:
            for room in (*(f"shipment:{reference}" for reference in references), "shipments:all"):
                await socket.send(type="join:room", room=room)
                await socket.receive("room:joined")
            async with asyncio.timeout(20):
                while True:
                    rooms = (await operator.get(report)).json()["rooms"]
                    if rooms.get("shipment", 0) >= 2 and rooms.get("shipments:all", 0) >= 1:
                        break
                    await asyncio.sleep(0.2)
            bodies = {
                path: (await operator.get(f"{product.api.url}{path}")).text
                for path in ("/api/metrics", "/api/metrics/websocket", "/api/metrics/cache", "/api/metrics/exports",
                             "/api/metrics/performance", "/api/metrics/health", "/api/health/detailed")
            }  # fmt: skip

    assert set(rooms) <= {"shipment", "shipments:all", "driver", "export", "import"}
    names = [*references, organization.name, organization.slug, str(organization.pk), str(by.user_id)]
    assert [(path, name) for path, body in bodies.items() for name in names if name in body] == []
