"""A wrong command is corrected, and everybody who follows the shipment sees the correction."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from shipments.models import Organization, UnnumberedEvent
from shipments.services.feed.sequencer import number_batch
from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.journeys import clients
from tests.journeys.clients import SocketClient

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
REASON = "the parcel of the neighbour"


@pytest.fixture
def organization(committed: None) -> Organization:
    return factories.organization()


@pytest.fixture
def http(product: ProductStage, organization: Organization) -> Iterator[httpx.Client]:
    client = clients.logged_in_client(product.api, organization, "admin")
    yield client
    client.close()


@pytest.fixture
def customer(product: ProductStage, organization: Organization) -> Iterator[tuple[httpx.Client, str]]:
    account = factories.customer(organization)
    client = clients.logged_in_client(product.api, organization, "customer", customer=account)
    yield client, str(account.pk)
    client.close()


def number_all() -> None:
    while UnnumberedEvent.objects.exists():
        number_batch()


@pytest.mark.parametrize(
    ("states", "wrong", "right"),
    [(("dispatched", "in_transit", "out_for_delivery"), "delivered", "out_for_delivery"),
     (("dispatched",), "cancelled", "dispatched")],
)  # fmt: skip
async def test_a_wrong_command_is_undone_everywhere(
    product: ProductStage, http: httpx.Client, customer: tuple[httpx.Client, str], organization: Organization,
    states: tuple[str, ...], wrong: str, right: str,
) -> None:  # fmt: skip
    watcher, customer_id = customer
    driver = await sync_to_async(factories.driver)(organization)

    def ask(method: str, path: str, body: Any = None, status: int = 200) -> Any:
        response = http.request(method, path, json=body, headers={"X-Request-ID": "undo-1"})
        assert response.status_code == status, response.text
        return response.json()

    booking = {"origin": "NLRTM", "destination": "DEHAM", "status": "booked", "driverId": str(driver.pk)}
    reference = ask("POST", "/shipments", booking | {"customerId": customer_id}, 201)["reference"]
    path = f"/shipments/{reference}"
    for state in (*states, wrong):
        before = ask("POST", f"{path}/transitions", {"to": state})
    refused = ask("POST", f"{path}/transitions", {"to": right}, 409)
    sockets = [
        SocketClient(product.ws[0], str(each.headers["Authorization"])) for each in (http, watcher)
    ]  # fmt: skip
    async with sockets[0] as staff, sockets[1] as other:
        for socket in sockets:
            await socket.send(type="join:room", shipmentId=reference)
        snapshots = [(await socket.receive("room:joined"))["snapshot"] for socket in sockets]

        after = ask("POST", f"{path}/events/{before['seq']}/void", {"reason": REASON})

        updates = [await socket.receive("shipment:update") for socket in (staff, other)]

    await sync_to_async(number_all)()
    event = ask("GET", f"{path}/events?after={before['seq']}")["events"][0]
    feed = ask("GET", "/events?type=voided")["events"]
    seen = await asyncio.to_thread(lambda: watcher.get("/events?type=voided").json()["events"])
    audit = ask("GET", "/audit-log?action=void")["results"]
    assert "void the event" in refused["detail"]
    assert (before["status"], after["status"], after["deliveredAt"]) == (wrong, right, None)
    assert right not in after["allowedTransitions"]
    assert set(after["allowedTransitions"]) >= {wrong}
    assert event["data"]["voided"] == {"seq": before["seq"], "type": "transitioned", "status": wrong}
    assert (event["data"]["note"], event["actor"]["requestId"]) == (REASON, "undo-1")
    assert feed == [event | {"shipmentId": reference, "position": before["seq"] + 1}]
    assert [entry["after"]["reason"] for entry in audit] == [REASON]
    assert updates[0]["event"] == event
    for snapshot, update in zip(snapshots, updates, strict=True):
        changed = snapshot | update["event"]["data"]["changes"]
        assert (changed["status"], changed["deliveredAt"]) == (right, None)
        assert update["shipment"]["status"] == right
    assert REASON not in str(updates[1]) + str(seen)
    assert [(each["position"], each["data"]["voided"]) for each in seen] == [
        (before["seq"] + 1, event["data"]["voided"])
    ]
