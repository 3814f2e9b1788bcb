"""The main journey: a change through one process reaches the sockets of the others, once and in order."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets
from asgiref.sync import sync_to_async

from shipments.models import Organization, Shipment
from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.journeys import clients
from tests.journeys.clients import SocketClient

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


class Case:
    """A dispatcher logged in at the api Daphne, and one shipment with a driver."""

    def __init__(self, product: ProductStage) -> None:
        self.organization: Organization = factories.organization()
        self.http: httpx.Client = clients.logged_in_client(product.api, self.organization, "dispatcher")
        self.token = str(self.http.headers["Authorization"])
        by = factories.member(self.organization, "dispatcher")
        driver = factories.driver(self.organization)
        self.shipment: Shipment = factories.booked_shipment(by, driver_id=driver.pk)
        self.reference = self.shipment.reference

    async def advance(self, *states: str) -> None:
        for state in states:
            answer = await asyncio.to_thread(
                self.http.post, f"/shipments/{self.reference}/transitions", json={"to": state}
            )
            assert answer.status_code == 200, answer.text


@pytest.fixture
def case(product: ProductStage, committed: None) -> Iterator[Case]:
    created = Case(product)
    yield created
    created.http.close()


async def test_a_change_through_the_api_reaches_sockets_of_both_ws_daphnes(
    product: ProductStage, case: Case
) -> None:
    async with SocketClient(product.ws[0], case.token) as one, SocketClient(product.ws[1], case.token) as other:
        for socket in (one, other):
            await socket.send(type="join:room", id=1, shipmentId=case.reference)
            joined = await socket.receive("room:joined")
            assert (joined["id"], joined["seq"], joined["reason"]) == (1, 1, "new")

        await case.advance("dispatched", "at_pickup", "in_transit", "at_facility", "delivered")

        for socket in (one, other):
            assert await socket.receive_updates_until(6) == [2, 3, 4, 5, 6]
            assert socket.frames[-1]["shipment"]["status"] == "delivered"
    assert one.frames[-5:] == other.frames[-5:]


async def test_a_reconnected_socket_receives_what_it_missed(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.send(type="join:room", shipmentId=case.reference)
        joined = await socket.receive("room:joined")
        await case.advance("dispatched")
        assert await socket.receive_updates_until(2) == [2]
    await case.advance("at_pickup", "in_transit")

    async with SocketClient(product.ws[1], case.token) as again:
        await again.send(type="join:room", shipmentId=case.reference, epoch=joined["epoch"], since=2)
        answer = await again.receive("room:joined")

    assert answer["recovered"] is True
    assert [event["seq"] for event in answer["events"]] == [3, 4]
    assert [event["status"] for event in answer["events"]] == ["at_pickup", "in_transit"]


async def test_an_answer_may_be_longer_than_the_limit_of_client_messages(product: ProductStage, case: Case) -> None:
    items = [{"op": "update", "reference": case.reference, "pieces": pieces} for pieces in range(2, 502)]
    answer = await asyncio.to_thread(case.http.post, "/shipments/bulk", json={"items": items}, timeout=60)
    assert answer.json()["failed"] == 0

    async with SocketClient(product.ws[0], case.token, max_size=None) as socket:
        await socket.send(type="join:room", shipmentId=case.reference, since=1)
        joined = await socket.receive("room:joined", seconds=20)

    assert joined["recovered"] is True
    assert [event["seq"] for event in joined["events"]] == list(range(2, 502))


async def test_the_snapshot_and_its_events_agree_with_rest(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.send(type="join:room", shipmentId=case.reference)
        snapshot = (await socket.receive("room:joined"))["snapshot"]
        await case.advance("dispatched", "in_transit", "delivered")
        for _ in range(3):
            update = await socket.receive("shipment:update")
            event = update["event"]
            snapshot |= {**event["data"]["changes"], "seq": event["seq"], "updatedAt": event["recordedAt"]}

    shown: dict[str, Any] = case.http.get(f"/shipments/{case.reference}").json()
    log = case.http.get(f"/shipments/{case.reference}/events").json()

    assert shown | {"driver": {k: v for k, v in shown["driver"].items() if k != "phone"}} == snapshot | {
        "notes": "",
        "position": None,
        "allowedTransitions": ["returning"],
    }
    assert log["events"][1:] == [frame["event"] for frame in socket.frames if frame["type"] == "shipment:update"]
    assert (log["seq"], log["epoch"]) == (4, update["epoch"])


async def test_leaving_a_room_ends_its_updates(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.send(type="join:room", shipmentId=case.reference)
        await socket.receive("room:joined")

        await socket.send(type="leave:room", id="x", shipmentId=case.reference)
        left = await socket.receive("room:left")
        await case.advance("dispatched")
        await socket.send(type="ping", t=1)
        await socket.receive("pong")

    assert (left["id"], left["reason"]) == ("x", "left")
    assert [frame["type"] for frame in socket.frames] == ["welcome", "room:joined", "room:left", "pong"]


async def test_many_rooms_are_joined_by_one_frame(product: ProductStage, case: Case) -> None:
    by = await sync_to_async(factories.member)(case.organization, "dispatcher")
    others = [await sync_to_async(factories.booked_shipment)(by) for _ in range(3)]
    names = [case.reference, *(other.reference for other in others), "not-there"]

    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.send(type="join:room", id=9, rooms=[{"shipmentId": name} for name in names])
        answers = [await socket.receive("error"), *[await socket.receive("room:joined") for _ in range(4)]]

    assert answers[0]["code"] == "not_found"
    assert {frame["room"] for frame in answers[1:]} == {f"shipment:{name}" for name in names[:4]}
    assert {frame["id"] for frame in answers} == {9}


async def test_a_foreign_and_a_missing_room_look_alike(product: ProductStage, case: Case) -> None:
    stranger = await sync_to_async(factories.member)(await sync_to_async(factories.organization)(), "dispatcher")
    foreign = await sync_to_async(factories.booked_shipment)(stranger)

    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.send(type="join:room", id=1, shipmentId=foreign.reference)
        await socket.send(type="join:room", id=1, shipmentId="NOT-THERE")
        one, other = await socket.receive("error"), await socket.receive("error")

    assert one | {"room": ""} == other | {"room": ""}
    assert one["code"] == "not_found"


@pytest.mark.parametrize("token", ["Bearer nonsense", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer frk_unknown"])
async def test_bad_credentials_close_with_4401(product: ProductStage, token: str) -> None:
    async with SocketClient(product.ws[0], token) as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.receive("welcome")

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_the_first_frame_may_authenticate(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0]) as socket:
        await socket.send(type="join:room", shipmentId=case.reference)
        assert (await socket.receive("error"))["code"] == "bad_request"
        await socket.send(type="auth", token=case.token.removeprefix("Bearer "))
        welcome = await socket.receive("welcome")

    assert welcome["limits"]["rooms"] == 200


async def test_a_page_connects_by_its_session_and_an_allowed_origin(product: ProductStage, case: Case) -> None:
    cookie = await sync_to_async(_session_cookie)(case.organization)
    allowed = product.api.url

    async with SocketClient(product.ws[0], additional_headers={"Cookie": cookie, "Origin": allowed}) as socket:
        await socket.receive("welcome")
        await socket.send(type="join:room", shipmentId=case.reference)
        joined = await socket.receive("room:joined")

    assert joined["seq"] == 1


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "http://127.0.0.1.evil.com:{port}",
        None,
    ],
)
async def test_a_page_of_another_origin_is_refused_before_accept(
    product: ProductStage, case: Case, origin: str | None
) -> None:
    headers = {"Cookie": await sync_to_async(_session_cookie)(case.organization)}
    if origin is not None:
        headers["Origin"] = origin.format(port=product.api.port)

    with pytest.raises(websockets.InvalidStatus) as refused:
        await SocketClient(product.ws[0], additional_headers=headers).__aenter__()

    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        '{"type":"fly"}',
        '{"type":"join:room"}',
        '{"type":"join:room","rooms":7}',
        '{"type":"join:room","shipmentId":"SHIP-*"}',
        '{"type":"join:room","shipmentId":"x","since":-1}',
    ],
)
async def test_a_bad_frame_is_answered_with_an_error_and_the_socket_stays(
    product: ProductStage, case: Case, frame: str
) -> None:
    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.receive("welcome")
        await socket.connection.send(frame or "{")
        answer = await socket.receive("error")
        await socket.send(type="ping", id=3, t=5)
        pong = await socket.receive("pong")

    assert answer["code"] in {"bad_request", "not_found"}
    assert (pong["id"], pong["t"]) == (3, 5)


async def test_an_unknown_path_is_refused(product: ProductStage, case: Case) -> None:
    socket = SocketClient(product.ws[0], case.token)
    socket._url = product.ws[0].ws_url + "elsewhere"

    with pytest.raises(websockets.InvalidStatus) as refused:
        await socket.__aenter__()

    assert refused.value.response.status_code == 403


def _session_cookie(organization: Organization) -> str:
    from django.test import Client  # here, as only these tests log in like a page

    client = Client()
    client.force_login(factories.user(organization, "dispatcher"))
    return f"sessionid={client.cookies['sessionid'].value}"
