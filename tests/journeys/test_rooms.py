"""The rooms beside a shipment's: the organisation's feed, resumable, and a driver's positions, the newest only."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from exports import work
from exports.imports import work as imports
from shipments.models import Driver, Organization
from shipments.services import feed, shipments
from tests import factories
from tests.factories import NOW
from tests.journeys import logins
from tests.journeys.logins import Socket
from tests.journeys.servers import Product

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


class House:
    """An organisation with a dispatcher and a driver, both logged in."""

    def __init__(self, product: Product) -> None:
        self.organization: Organization = factories.organization()
        self.driver: Driver = factories.driver(self.organization)
        self.by = factories.member(self.organization, "dispatcher")
        self.dispatcher: httpx.Client = logins.client(product.api, self.organization, "dispatcher")
        self.at_wheel: httpx.Client = logins.client(product.api, self.organization, "driver", driver=self.driver)

    @staticmethod
    def token(http: httpx.Client) -> str:
        return str(http.headers["Authorization"])

    async def books(self, number: int) -> list[str]:
        """This will book shipments, number what happened and return their references."""

        def work() -> list[str]:
            made = [factories.booked(self.by).reference for _ in range(number)]
            while feed.number_batch():
                pass
            return made

        return await sync_to_async(work)()

    async def changes(self, reference: str) -> None:
        def work() -> None:
            shipments.amend(by=self.by, now=NOW, reference=reference, changes={"pieces": 7})
            while feed.number_batch():
                pass

        await sync_to_async(work)()

    async def drives(self, latitude: float) -> None:
        path, where = f"/drivers/{self.driver.pk}/location", {"latitude": latitude, "longitude": 4.5}
        answer = await asyncio.to_thread(self.at_wheel.post, path, json=where)
        assert answer.status_code in {200, 201}, answer.text


@pytest.fixture
def house(product: Product, committed: None) -> Iterator[House]:
    made = House(product)
    yield made
    made.dispatcher.close()
    made.at_wheel.close()


async def test_the_feed_tells_of_every_shipment_and_is_resumed_on_another_daphne(
    product: Product, house: House
) -> None:
    (first,) = await house.books(1)
    async with Socket(product.sockets[0], house.token(house.dispatcher)) as socket:
        await socket.say(type="join:room", id=1, room="shipments:all")
        joined = await socket.hear("room:joined")
        (second,) = await house.books(1)
        await house.changes(first)
        seqs = await socket.hears_up_to(3)
    told = [frame for frame in socket.frames if frame["type"] == "shipment:update"]
    missed = await house.books(2)

    async with Socket(product.sockets[1], house.token(house.dispatcher)) as again:
        await again.say(type="join:room", room="shipments:all", epoch=joined["epoch"], since=seqs[-1])
        answer = await again.hear("room:joined")

    assert (joined["recovered"], joined["seq"], joined["snapshot"]) == (False, 1, {"seq": 1})
    assert seqs == [2, 3]
    assert [(f["shipmentId"], f["event"]["seq"], f["shipment"]["reference"]) for f in told] == [
        (second, 1, second),
        (first, 2, first),
    ]
    assert answer["recovered"] is True
    assert [(event["position"], event["shipmentId"]) for event in answer["events"]] == list(
        zip([4, 5], missed, strict=True)
    )


async def test_the_feed_on_the_socket_is_the_feed_of_rest(product: Product, house: House) -> None:
    await house.books(3)
    async with Socket(product.sockets[0], house.token(house.dispatcher)) as socket:
        await socket.say(type="join:room", room="shipments:all", since=0)
        joined = await socket.hear("room:joined")

    rest = (await asyncio.to_thread(house.dispatcher.get, "/events")).json()
    assert (joined["epoch"], joined["seq"], joined["events"]) == (rest["epoch"], rest["seq"], rest["events"])


@pytest.mark.parametrize("room", ["shipments:all", "driver:01a20a6a-7a84-7555-a223-22f9160039db"])
async def test_a_room_that_is_not_for_the_caller_is_answered_as_one_that_is_not_there(
    product: Product, house: House, room: str
) -> None:
    async with Socket(product.sockets[0], house.token(house.at_wheel)) as socket:
        await socket.say(type="join:room", id=3, room=room)
        refused = await socket.hear("error")

    assert refused == {
        "type": "error",
        "id": 3,
        "code": "not_found",
        "message": "There is no such room.",
        "room": room,
    }


async def test_an_exports_room_shows_how_far_it_is_to_whoever_started_it(product: Product, house: House) -> None:
    await house.books(3)
    ordered = await asyncio.to_thread(
        house.dispatcher.post, "/exports", json={"report": "shipments", "format": "csv"}
    )
    export = ordered.json()
    room = f"export:{export['id']}"
    async with (
        Socket(product.sockets[0], house.token(house.dispatcher)) as owner,
        Socket(product.sockets[1], house.token(house.at_wheel)) as other,
    ):
        await other.say(type="join:room", room=room)
        refused = await other.hear("error")
        await owner.say(type="join:room", room=room)
        joined = await owner.hear("room:joined")
        await sync_to_async(work.work_batch)()
        told = await owner.hear("export:progress", seconds=15)
        while told["state"] != "succeeded":
            told = await owner.hear("export:progress", seconds=15)

    assert ordered.status_code == 202
    assert refused["code"] == "not_found"
    assert joined["snapshot"] == {"exportId": export["id"], "state": "queued", "done": 0, "total": None}
    assert (told["exportId"], told["done"], told["total"]) == (export["id"], 3, 3)


async def test_an_imports_room_shows_how_far_it_is_to_whoever_sent_the_file(product: Product, house: House) -> None:
    rows = "".join(f"IN-{house.driver.pk}-{at},NLRTM,DEHAM\n" for at in range(3))
    sent = await asyncio.to_thread(
        house.dispatcher.post, "/imports/shipments", headers={"Content-Type": "text/csv"},
        content=f"Reference,Origin,Destination\n{rows}",
    )  # fmt: skip
    own = sent.json()["id"]
    async with (
        Socket(product.sockets[0], house.token(house.dispatcher)) as owner,
        Socket(product.sockets[1], house.token(house.at_wheel)) as other,
    ):
        await other.say(type="join:room", room=f"import:{own}")
        refused = await other.hear("error")
        await owner.say(type="join:room", room=f"import:{own}")
        joined = await owner.hear("room:joined")
        await sync_to_async(imports.work_batch)()
        told = await owner.hear("import:progress", seconds=15)
        while told["state"] != "succeeded":
            told = await owner.hear("import:progress", seconds=15)

    assert (sent.status_code, refused["code"]) == (202, "not_found")
    assert joined["snapshot"] == {"importId": own, "state": "queued", "done": 0, "total": 3}
    assert (told["importId"], told["done"], told["total"]) == (own, 3, 3)


async def test_a_drivers_room_shows_where_it_is_and_where_it_goes(product: Product, house: House) -> None:
    room = f"driver:{house.driver.pk}"
    async with (
        Socket(product.sockets[0], house.token(house.dispatcher)) as early,
        Socket(product.sockets[1], house.token(house.at_wheel)) as late,
    ):
        await early.say(type="join:room", room=room)
        nowhere = await early.hear("room:joined")
        await house.drives(51.9)
        told = await early.hear("driver:location:update", seconds=15)
        await late.say(type="join:room", room=room)
        somewhere = await late.hear("room:joined")

    assert (nowhere["recovered"], nowhere["snapshot"]) == (False, None)
    assert "seq" not in nowhere
    shown: dict[str, Any] = {key: value for key, value in told.items() if key != "type"}
    assert (shown["driverId"], shown["latitude"], shown["longitude"]) == (str(house.driver.pk), 51.9, 4.5)
    assert somewhere["snapshot"] == shown
