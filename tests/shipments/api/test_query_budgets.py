"""Query budgets: a response needs as many queries for three rows as for one, and no more than its budget."""

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

# Path: maximum number of queries, savepoints included.
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
def add_rows(organization: Organization, dispatcher: Subject) -> Callable[[], None]:
    """Return a function that adds a row to every list: shipments, events, a driver, a customer and a member."""
    number = 0

    def add() -> None:
        nonlocal number
        number += 1
        driver, customer = (
            factories.driver(organization, f"Driver {number}"),
            factories.customer(organization, f"Customer {number}"),
        )
        factories.booked_shipment(dispatcher, reference=f"B-{number}", driver_id=driver.pk, customer_id=customer.pk)
        services.advance(by=dispatcher, now=NOW, reference=f"B-{number}", to="dispatched", occurred_at=NOW)
        factories.report_position(driver, 1.0, 2.0)
        factories.member(organization, "dispatcher")
        factories.booked_shipment(dispatcher, reference=f"C-{number}")

    return add


@pytest.mark.parametrize("path", BUDGETS)
def test_three_rows_need_no_more_queries_than_one(
    path: str, organization: Organization, add_rows: Callable[[], None]
) -> None:
    api = Api(factories.member(organization, "admin"))

    def count_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            response = api.get(path)
        assert response.status_code == 200, response.content
        # The epoch is read once a second, by any request.
        statements[:] = [
            query["sql"][:150] for query in queries.captured_queries if query["sql"] != epoch.EPOCH_SQL
        ]
        return len(statements)

    statements: list[str] = []
    add_rows()
    count_queries()  # the first one also fills the caches of the process
    one = count_queries()
    for _ in range(2):
        add_rows()

    assert count_queries() == one, statements
    assert one <= BUDGETS[path], statements
