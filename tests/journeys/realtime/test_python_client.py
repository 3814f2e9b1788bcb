"""The example client in docs/ delivers every event once and in order, against the real product."""

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from shipments.services.feed import sequencer
from shipments.services.shipments import commands
from tests import factories
from tests.drills.harness.environment import ROOT
from tests.drills.harness.product_stage import ProductStage
from tests.drills.restores import client_libraries
from tests.factories import NOW
from tests.journeys import clients

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """Import the file as a script would."""
    return client_libraries.load_python_client()


class Case:
    """A shipment, a member that changes it and the access token of another."""

    def __init__(self, product: ProductStage) -> None:
        self.organization = factories.organization()
        self.by = factories.member(self.organization, "dispatcher")
        self.reference = factories.booked_shipment(self.by).reference
        http = clients.logged_in_client(product.api, self.organization, "dispatcher")
        self.token = str(http.headers["Authorization"]).removeprefix("Bearer ")
        http.close()

    async def get_token(self) -> str:
        return self.token

    async def change(self, pieces: int) -> None:
        def work() -> None:
            commands.amend(by=self.by, now=NOW, reference=self.reference, changes={"pieces": pieces})
            while sequencer.number_batch():
                pass

        await sync_to_async(work)()


@pytest_asyncio.fixture
async def case(product: ProductStage, committed: None) -> AsyncIterator[Case]:
    yield await sync_to_async(Case)(product)


async def next_updates(client: Any, count: int) -> list[Any]:
    """Return the next `count` updates."""
    updates = []
    async with asyncio.timeout(20):
        async for update in client:
            updates.append(update)
            if len(updates) == count:
                break
    return updates


async def test_every_event_arrives_once_over_lost_connections(
    product: ProductStage, case: Case, example: ModuleType
) -> None:
    async with example.FreightClient(product.ws[0].ws_url, case.get_token, first_delay=0.05) as client:
        await client.join(case.reference)
        (first,) = await next_updates(client, 1)
        for pieces in range(1, 7):
            if pieces % 2:
                client._connection.transport.abort()
            await case.change(pieces)
        updates = await next_updates(client, 6)

    assert (first.seq, first.snapshot["reference"]) == (1, case.reference)
    assert [update.seq for update in updates] == [2, 3, 4, 5, 6, 7]
    assert [update.event["data"]["changes"] for update in updates] == [{"pieces": pieces} for pieces in range(1, 7)]
    assert client.reconnects >= 1


async def test_after_a_restore_it_delivers_the_whole_state_and_goes_on(
    product: ProductStage, case: Case, example: ModuleType
) -> None:
    async with example.FreightClient(product.ws[0].ws_url, case.get_token) as client:
        await client.join(case.reference)
        (first,) = await next_updates(client, 1)
        epoch = await sync_to_async(factories.new_epoch)()
        (restored,) = await next_updates(client, 1)
        await case.change(1)
        (update,) = await next_updates(client, 1)
    async with example.FreightClient(product.ws[1].ws_url, case.get_token) as later:
        await later.join(case.reference, epoch=first.epoch, since=first.seq)
        (resumed,) = await next_updates(later, 1)

    assert (first.reason, restored.reason, restored.epoch) == ("new", "epoch", epoch)
    assert (update.seq, update.epoch, update.event["data"]["changes"]) == (2, epoch, {"pieces": 1})
    assert (resumed.reason, resumed.seq, resumed.snapshot["pieces"]) == ("epoch", 2, 1)


async def test_it_resumes_from_a_stored_position(product: ProductStage, case: Case, example: ModuleType) -> None:
    await case.change(1)
    await case.change(2)

    async with example.FreightClient(product.ws[1].ws_url, case.get_token) as client:
        await client.join("shipments:all", since=1)
        updates = await next_updates(client, 2)

    assert [(update.seq, update.event["shipmentId"]) for update in updates] == [
        (2, case.reference),
        (3, case.reference),
    ]


async def test_a_missing_room_and_a_bad_token_are_reported(
    product: ProductStage, case: Case, example: ModuleType
) -> None:
    async with example.FreightClient(product.ws[0].ws_url, case.get_token) as client:
        await client.join("NOT-THERE")
        (update,) = await next_updates(client, 1)
    async with example.FreightClient(product.ws[0].ws_url, lambda: asyncio.sleep(0, "no token")) as refused:
        with pytest.raises(example.Refused) as caught:
            await next_updates(refused, 1)

    assert update.left == "not_found"
    assert caught.value.args[0] == 4401


def test_the_clients_are_short_enough_to_be_read() -> None:
    for path in ("docs/examples/freight_client.py", "realtime/static/realtime/freight.js"):
        assert len((ROOT / path).read_text().splitlines()) < 200, path
