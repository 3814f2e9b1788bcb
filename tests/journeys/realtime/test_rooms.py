"""The other rooms: the resumable feed of an organisation, positions of drivers, progress of exports and imports."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from exports.background import export_worker
from exports.file_imports import import_worker
from shipments.models import Driver, Organization
from shipments.services.feed import sequencer
from shipments.services.shipments import commands
from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.factories import NOW
from tests.journeys import clients
from tests.journeys.clients import SocketClient

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


class Tenant:
    """An organisation with a dispatcher and a driver, both logged in."""

    def __init__(self, product: ProductStage) -> None:
        self.organization: Organization = factories.organization()
        self.driver: Driver = factories.driver(self.organization)
        self.by = factories.member(self.organization, "dispatcher")
        self.dispatcher: httpx.Client = clients.logged_in_client(product.api, self.organization, "dispatcher")
        self.driver_http: httpx.Client = clients.logged_in_client(
            product.api, self.organization, "driver", driver=self.driver
        )

    @staticmethod
    def token(http: httpx.Client) -> str:
        return str(http.headers["Authorization"])

    async def book_shipments(self, number: int) -> list[str]:
        """Book shipments, number their events in the feed and return the references."""

        def work() -> list[str]:
            references = [factories.booked_shipment(self.by).reference for _ in range(number)]
            while sequencer.number_batch():
                pass
            return references

        return await sync_to_async(work)()

    async def amend(self, reference: str) -> None:
        def work() -> None:
            commands.amend(by=self.by, now=NOW, reference=reference, changes={"pieces": 7})
            while sequencer.number_batch():
                pass

        await sync_to_async(work)()

    async def report_position(self, latitude: float) -> None:
        path, position = f"/drivers/{self.driver.pk}/location", {"latitude": latitude, "longitude": 4.5}
        answer = await asyncio.to_thread(self.driver_http.post, path, json=position)
        assert answer.status_code in {200, 201}, answer.text


@pytest.fixture
def tenant(product: ProductStage, committed: None) -> Iterator[Tenant]:
    tenant = Tenant(product)
    yield tenant
    tenant.dispatcher.close()
    tenant.driver_http.close()


async def test_the_feed_carries_every_shipment_and_is_resumed_on_another_daphne(
    product: ProductStage, tenant: Tenant
) -> None:
    (first,) = await tenant.book_shipments(1)
    async with SocketClient(product.ws[0], tenant.token(tenant.dispatcher)) as socket:
        await socket.send(type="join:room", id=1, room="shipments:all")
        joined = await socket.receive("room:joined")
        (second,) = await tenant.book_shipments(1)
        await tenant.amend(first)
        seqs = await socket.receive_updates_until(3)
    updates = [frame for frame in socket.frames if frame["type"] == "shipment:update"]
    missed = await tenant.book_shipments(2)

    async with SocketClient(product.ws[1], tenant.token(tenant.dispatcher)) as again:
        await again.send(type="join:room", room="shipments:all", epoch=joined["epoch"], since=seqs[-1])
        answer = await again.receive("room:joined")

    assert (joined["recovered"], joined["seq"], joined["snapshot"]) == (False, 1, {"seq": 1})
    assert seqs == [2, 3]
    assert [(f["shipmentId"], f["event"]["seq"], f["shipment"]["reference"]) for f in updates] == [
        (second, 1, second),
        (first, 2, first),
    ]
    assert answer["recovered"] is True
    assert [(event["position"], event["shipmentId"]) for event in answer["events"]] == list(
        zip([4, 5], missed, strict=True)
    )


async def test_the_feed_on_the_socket_is_the_feed_of_rest(product: ProductStage, tenant: Tenant) -> None:
    await tenant.book_shipments(3)
    async with SocketClient(product.ws[0], tenant.token(tenant.dispatcher)) as socket:
        await socket.send(type="join:room", room="shipments:all", since=0)
        joined = await socket.receive("room:joined")

    rest = (await asyncio.to_thread(tenant.dispatcher.get, "/events")).json()
    assert (joined["epoch"], joined["seq"], joined["events"]) == (rest["epoch"], rest["seq"], rest["events"])


@pytest.mark.parametrize("room", ["shipments:all", "driver:01a20a6a-7a84-7555-a223-22f9160039db"])
async def test_a_forbidden_room_is_answered_like_a_missing_one(
    product: ProductStage, tenant: Tenant, room: str
) -> None:
    async with SocketClient(product.ws[0], tenant.token(tenant.driver_http)) as socket:
        await socket.send(type="join:room", id=3, room=room)
        refused = await socket.receive("error")

    assert refused == {
        "type": "error",
        "id": 3,
        "code": "not_found",
        "message": "There is no such room.",
        "room": room,
    }


async def test_the_room_of_an_export_shows_its_progress_to_its_owner(product: ProductStage, tenant: Tenant) -> None:
    await tenant.book_shipments(3)
    response = await asyncio.to_thread(
        tenant.dispatcher.post, "/exports", json={"report": "shipments", "format": "csv"}
    )
    export = response.json()
    room = f"export:{export['id']}"
    async with (
        SocketClient(product.ws[0], tenant.token(tenant.dispatcher)) as owner,
        SocketClient(product.ws[1], tenant.token(tenant.driver_http)) as other,
    ):
        await other.send(type="join:room", room=room)
        refused = await other.receive("error")
        await owner.send(type="join:room", room=room)
        joined = await owner.receive("room:joined")
        while await sync_to_async(export_worker.work_batch)():
            pass  # other tests' orders may come first
        progress = await owner.receive("export:progress", seconds=15)
        while progress["state"] != "succeeded":
            progress = await owner.receive("export:progress", seconds=15)

    assert response.status_code == 202
    assert refused["code"] == "not_found"
    assert joined["snapshot"] == {"exportId": export["id"], "state": "queued", "done": 0, "total": None}
    assert (progress["exportId"], progress["done"], progress["total"]) == (export["id"], 3, 3)


async def test_the_room_of_an_import_shows_its_progress_to_its_owner(product: ProductStage, tenant: Tenant) -> None:
    rows = "".join(f"IN-{tenant.driver.pk}-{at},NLRTM,DEHAM\n" for at in range(3))
    response = await asyncio.to_thread(
        tenant.dispatcher.post, "/imports/shipments", headers={"Content-Type": "text/csv"},
        content=f"Reference,Origin,Destination\n{rows}",
    )  # fmt: skip
    import_id = response.json()["id"]
    async with (
        SocketClient(product.ws[0], tenant.token(tenant.dispatcher)) as owner,
        SocketClient(product.ws[1], tenant.token(tenant.driver_http)) as other,
    ):
        await other.send(type="join:room", room=f"import:{import_id}")
        refused = await other.receive("error")
        await owner.send(type="join:room", room=f"import:{import_id}")
        joined = await owner.receive("room:joined")
        while await sync_to_async(import_worker.work_batch)():
            pass  # other tests' orders may come first
        progress = await owner.receive("import:progress", seconds=15)
        while progress["state"] != "succeeded":
            progress = await owner.receive("import:progress", seconds=15)

    assert (response.status_code, refused["code"]) == (202, "not_found")
    assert joined["snapshot"] == {"importId": import_id, "state": "queued", "done": 0, "total": 3}
    assert (progress["importId"], progress["done"], progress["total"]) == (import_id, 3, 3)


async def test_the_room_of_a_driver_shows_its_newest_position(product: ProductStage, tenant: Tenant) -> None:
    room = f"driver:{tenant.driver.pk}"
    async with (
        SocketClient(product.ws[0], tenant.token(tenant.dispatcher)) as early,
        SocketClient(product.ws[1], tenant.token(tenant.driver_http)) as late,
    ):
        await early.send(type="join:room", room=room)
        without_position = await early.receive("room:joined")
        await tenant.report_position(51.9)
        location_update = await early.receive("driver:location:update", seconds=15)
        await late.send(type="join:room", room=room)
        with_position = await late.receive("room:joined")

    assert (without_position["recovered"], without_position["snapshot"]) == (False, None)
    assert "seq" not in without_position
    expected: dict[str, Any] = {key: value for key, value in location_update.items() if key != "type"}
    assert (expected["driverId"], expected["latitude"], expected["longitude"]) == (str(tenant.driver.pk), 51.9, 4.5)
    assert with_position["snapshot"] == expected
