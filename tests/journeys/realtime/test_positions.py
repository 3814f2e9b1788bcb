"""Positions reported over sockets and by phones, and tracking links on sockets, through real Daphnes."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import websockets
from django.utils import timezone

from shipments import representation
from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.journeys import clients
from tests.journeys.clients import SocketClient

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
PLACE = {"latitude": 52.37, "longitude": 4.89}


class Case:
    """A dispatcher and a driver, logged in, a shipment of the driver and one without a driver."""

    def __init__(self, product: ProductStage) -> None:
        self.organization = factories.organization()
        self.driver = factories.driver(self.organization)
        self.dispatcher = clients.logged_in_client(product.api, self.organization, "dispatcher")
        self.own = clients.logged_in_client(product.api, self.organization, "driver", driver=self.driver)
        by = factories.member(self.organization, "dispatcher")
        self.reference = factories.booked_shipment(by, driver_id=self.driver.pk).reference
        self.other = factories.booked_shipment(by).reference

    @property
    def token(self) -> str:
        return str(self.own.headers["Authorization"])

    def shown_position(self) -> Any:
        return self.dispatcher.get(f"/drivers/{self.driver.pk}").json()["position"]

    async def wait_for_position(self, place: dict[str, float]) -> Any:
        """Wait until REST shows the driver at a place; return its position."""
        async with asyncio.timeout(20):
            while True:
                position = await asyncio.to_thread(self.shown_position)
                if position and {name: position[name] for name in place} == place:
                    return position
                await asyncio.sleep(0.05)


@pytest.fixture
def case(product: ProductStage, committed: None) -> Iterator[Case]:
    created = Case(product)
    yield created
    created.dispatcher.close()
    created.own.close()


async def test_a_driver_reports_its_position_over_its_socket(product: ProductStage, case: Case) -> None:
    at = representation.instant(timezone.now() - timedelta(seconds=3))
    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.receive("welcome", 20)

        await socket.send(type="driver:location", id=1, **PLACE, accuracy=8, recordedAt=at)

        assert await case.wait_for_position(PLACE) == {**PLACE, "recordedAt": at}
        await socket.send(type="ping")
        await socket.receive("pong", 20)
        assert [frame["type"] for frame in socket.frames] == ["welcome", "pong"]  # nothing is answered


WRONG: list[dict[str, Any]] = [
    {},
    {**PLACE, "latitude": 91},
    {**PLACE, "latitude": "52.37"},
    {**PLACE, "latitude": True},
    {**PLACE, "longitude": None},
    {**PLACE, "longitude": 1e308},
    {**PLACE, "accuracy": -1},
    {**PLACE, "accuracy": []},
    {**PLACE, "recordedAt": "yesterday"},
    {**PLACE, "recordedAt": 5},
    {**PLACE, "recordedAt": "2199-01-01T00:00:00Z"},
]


async def test_a_bad_position_is_answered_with_an_error_and_the_socket_stays(
    product: ProductStage, case: Case
) -> None:
    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.receive("welcome", 20)

        for number, wrong in enumerate(WRONG):
            await socket.send(type="driver:location", id=number, **wrong)
            refused = await socket.receive("error", 20)

            assert (refused["id"], refused["code"]) == (number, "bad_request")
        await socket.send(type="ping")
        await socket.receive("pong", 20)
    assert case.shown_position() is None


async def test_only_a_driver_may_report_a_position(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0], str(case.dispatcher.headers["Authorization"])) as socket:
        await socket.receive("welcome", 20)

        await socket.send(type="driver:location", id=1, **PLACE, driverId=str(case.driver.pk))

        assert (await socket.receive("error", 20))["code"] == "forbidden"
    assert case.shown_position() is None


def test_a_phone_reports_by_its_device_key_which_is_in_no_log(product: ProductStage, case: Case) -> None:
    keys = f"/drivers/{case.driver.pk}/device-keys"
    device_key = case.dispatcher.post(keys, json={"name": "Phone"}).json()
    secret = device_key["secret"]
    report = {"id": secret, "lat": 52.37, "lon": 4.89}
    with httpx.Client(base_url=product.api.url, timeout=20) as phone:
        answers = [
            phone.get("/api/osmand", params=report),
            phone.post("/api/osmand", data={name: str(value) for name, value in report.items()}),
            phone.post("/api/osmand", json={"device_id": secret, "location": {"coords": PLACE}}),
            phone.get("/api/osmand", params={**report, "lat": 91}),
            phone.get("/api/osmand/", params=report),
            phone.delete("/api/osmand", params=report),
        ]
        shown = case.shown_position()
        case.dispatcher.delete(f"{keys}/{device_key['id']}")
        after = phone.get("/api/osmand", params=report)

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404, 405]
    assert [answer.content for answer in answers[:3]] == [b""] * 3
    assert {name: shown[name] for name in PLACE} == PLACE
    assert after.status_code == 401
    logged = "".join(daphne.log.read_text() for daphne in product.daphnes)
    assert "/api/osmand" in logged
    assert secret not in logged
    assert secret.removeprefix("frd_") not in logged


async def test_a_tracking_link_joins_only_its_room_until_it_is_revoked(product: ProductStage, case: Case) -> None:
    path = f"/shipments/{case.reference}/tracking-links"
    link = case.dispatcher.post(path).json()
    async with SocketClient(product.ws[0]) as socket:
        await socket.send(type="auth", token=link["token"])
        await socket.receive("welcome", 20)
        for room in (
            {"shipmentId": case.other}, {"room": "shipments:all"}, {"room": f"driver:{case.driver.pk}"},
        ):  # fmt: skip
            await socket.send(type="join:room", **room)
            assert (await socket.receive("error", 20))["code"] == "not_found"
        await socket.send(type="driver:location", **PLACE)
        assert (await socket.receive("error", 20))["code"] == "forbidden"
        await socket.send(type="join:room", shipmentId=case.reference)
        joined = await socket.receive("room:joined", 20)
        assert (joined["snapshot"]["reference"], "phone" in joined["snapshot"]["driver"]) == (case.reference, False)

        moved = await asyncio.to_thread(
            case.dispatcher.post, f"/shipments/{case.reference}/transitions", json={"to": "dispatched"}
        )
        assert moved.status_code == 200
        assert (await socket.receive("shipment:update", 20))["seq"] == 2
        await asyncio.to_thread(case.dispatcher.delete, f"{path}/{link['id']}")

        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.receive("never", 20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
