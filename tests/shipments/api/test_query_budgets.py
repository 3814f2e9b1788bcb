"""How many queries an answer may cost: as many for three rows as for one, and never more than here."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import Organization
from shipments.selectors import epoch
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api

# path: the most queries; savepoints count too.
BUDGETS = {
    "/api/shipments": 1,
    "/api/shipments?status=booked&ordering=eta&limit=50": 2,
    "/api/shipments?q=Rotterdam": 5,
    "/api/shipments/B-1": 1,
    "/api/shipments/B-1?asOf=2199-01-01T00:00:00Z": 2,
    "/api/shipments/B-1/events": 2,
    "/api/events": 2,
    "/api/drivers": 1,
    "/api/customers": 1,
    "/api/audit-log": 1,
    "/api/users/search?q=Dispatcher": 1,
    "/api/auth/api-keys": 1,
}


@pytest.fixture
def grow(house: Organization, dispatcher: Subject) -> Callable[[], None]:
    """Adds a row of everything: a shipment with events, driver, position and customer, and who works on it."""
    number = 0

    def add() -> None:
        nonlocal number
        number += 1
        driver, customer = (
            factories.driver(house, f"Driver {number}"),
            factories.customer(house, f"Customer {number}"),
        )
        factories.booked_shipment(dispatcher, reference=f"B-{number}", driver_id=driver.pk, customer_id=customer.pk)
        services.advance(by=dispatcher, now=NOW, reference=f"B-{number}", to="dispatched", occurred_at=NOW)
        factories.report_position(driver, 1.0, 2.0)
        factories.member(house, "dispatcher")
        factories.booked_shipment(dispatcher, reference=f"C-{number}")

    return add


@pytest.mark.parametrize("path", BUDGETS)
def test_three_rows_cost_no_more_than_one(path: str, house: Organization, grow: Callable[[], None]) -> None:
    api = Api(factories.member(house, "admin"))

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            answer = api.get(path)
        assert answer.status_code == 200, answer.content
        # The epoch is asked for once a second, whoever asks.
        made[:] = [query["sql"][:150] for query in queries.captured_queries if query["sql"] != epoch.EPOCH_SQL]
        return len(made)

    made: list[str] = []
    grow()
    cost()  # the first one also asks what is then known for good
    one = cost()
    for _ in range(2):
        grow()

    assert cost() == one, made
    assert one <= BUDGETS[path], made
