"""The latency of deliveries, as operators read it: every door of the feed counts, not only rooms of shipments."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from asgiref.sync import sync_to_async
from prometheus_client.parser import text_string_to_metric_families

from shipments.services.feed import sequencer
from shipments.services.shipments import commands
from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import comes_true
from tests.factories import NOW
from tests.journeys import clients
from tests.journeys.clients import SocketClient
from tests.journeys.streams import open_stream

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
UPDATES = 10


class Case:
    """A dispatcher logged in at the api Daphne, and one shipment whose events are numbered at once."""

    def __init__(self, product: ProductStage) -> None:
        self.product = product
        organization = factories.organization()
        self.by = factories.member(organization, "dispatcher")
        self.reference = factories.booked_shipment(self.by).reference
        self.http = clients.logged_in_client(product.api, organization, "dispatcher")
        self.token = str(self.http.headers["Authorization"])
        self._number()

    async def amend(self) -> None:
        def work() -> None:
            for pieces in range(1, UPDATES + 1):
                commands.amend(by=self.by, now=NOW, reference=self.reference, changes={"pieces": pieces})
                self._number()

        await sync_to_async(work)()

    @staticmethod
    def _number() -> None:
        while sequencer.number_batch():
            pass

    def deliveries(self) -> float:
        """Return the number of deliveries that were observed so far, by all processes."""
        scrape = httpx.get(f"{self.product.api.url}/api/metrics", timeout=10).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(scrape)
            for sample in family.samples
            if sample.name == "websocket_delivery_latency_seconds_count"
        )

    async def comes_to(self, deliveries: float) -> bool:
        return await asyncio.to_thread(comes_true, 10, lambda: self.deliveries() == deliveries)


@pytest.fixture
def case(product: ProductStage, committed: None) -> Iterator[Case]:
    case = Case(product)
    yield case
    case.http.close()


@pytest.mark.parametrize("room", ["shipments:all", "shipment:{reference}"])
async def test_each_update_to_a_socket_is_observed_once(product: ProductStage, case: Case, room: str) -> None:
    before = await asyncio.to_thread(case.deliveries)
    async with SocketClient(product.ws[0], case.token) as socket:
        await socket.send(type="join:room", room=room.format(reference=case.reference))
        await socket.receive("room:joined")

        await case.amend()
        await socket.receive_updates_until(1 + UPDATES)

        assert await case.comes_to(before + UPDATES)
        report = f"{product.api.url}/api/metrics/websocket"
        assert await asyncio.to_thread(comes_true, 10, lambda: httpx.get(report).json()["p95Latency"] > 0)


async def test_each_update_to_a_stream_of_the_feed_is_observed_once(product: ProductStage, case: Case) -> None:
    before = await asyncio.to_thread(case.deliveries)
    async with open_stream(product.ws[0], "/events/stream", case.token) as stream:
        await stream.next()

        await case.amend()
        for _ in range(UPDATES):
            await stream.next()

        assert await case.comes_to(before + UPDATES)
