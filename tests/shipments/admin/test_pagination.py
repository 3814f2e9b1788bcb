"""Lists of the admin: how many rows there are, and a way to the last of them."""

from typing import Any

import pytest
from django.core.paginator import EmptyPage
from django.db import connection
from django.db.models import QuerySet

from shipments.admin import pagination
from shipments.admin.pagination import EstimatingPaginator
from shipments.models import Customer, Organization
from tests import factories
from tests.shipments.admin.operators import OperatorFactory

pytestmark = pytest.mark.django_db
ROWS = 300


@pytest.fixture
def customers(organization: Organization) -> QuerySet[Any]:
    """Store ROWS customers and have PostgreSQL count them for its estimates."""
    Customer.objects.bulk_create(
        Customer(
            organization=organization, name=f"C{number:04}", created_at=factories.NOW, updated_at=factories.NOW
        )
        for number in range(ROWS)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE shipments_customer")
    return Customer.objects.of_organization(organization.pk).order_by("name", "id")


def _names(page: Any) -> list[str]:
    return [each.name for each in page.object_list]


def test_few_rows_are_counted_exactly(customers: QuerySet[Any]) -> None:
    paginator = EstimatingPaginator(customers, 50)

    assert (paginator.count, paginator.is_estimate, paginator.num_pages) == (ROWS, False, 6)
    assert _names(paginator.page(6)) == [f"C{number:04}" for number in range(250, 300)]
    with pytest.raises(EmptyPage):
        paginator.page(7)


def test_many_rows_are_estimated_and_all_pages_are_reached(
    customers: QuerySet[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "MAX_COUNTED", 100)
    paginator = EstimatingPaginator(customers, 50)

    assert paginator.is_estimate
    assert paginator.count == pytest.approx(ROWS, rel=0.2)
    assert _names(paginator.page(6))[-1] == f"C{ROWS - 1:04}"


def test_an_estimate_that_is_too_low_grows_with_the_pages(
    customers: QuerySet[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "MAX_COUNTED", 100)
    monkeypatch.setattr(pagination, "_estimated_count", lambda _rows: 120)
    seen, number, pages = list[str](), 0, 1

    while number < pages:  # as somebody does who follows the links
        number += 1
        paginator = EstimatingPaginator(customers, 50)
        seen += _names(paginator.page(number))
        pages = paginator.num_pages

    assert seen == [f"C{number:04}" for number in range(ROWS)]


def test_a_page_far_behind_the_end_is_refused(customers: QuerySet[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MAX_COUNTED", 100)

    with pytest.raises(EmptyPage):
        EstimatingPaginator(customers, 50).page(10**30)


@pytest.mark.parametrize(("most", "words"), [(100_000, f"\n{ROWS}\n"), (100, "about ")])
def test_the_list_says_whether_the_number_is_an_estimate(
    operator: OperatorFactory, customers: QuerySet[Any], monkeypatch: pytest.MonkeyPatch, most: int, words: str
) -> None:
    monkeypatch.setattr(pagination, "MAX_COUNTED", most)
    client = operator("admin")

    last = client.get("/admin/shipments/customer/", {"p": "6"})

    assert words in last.content.decode()
    assert [each.name for each in last.context["cl"].result_list][-1] == f"C{ROWS - 1:04}"
    assert client.get("/admin/shipments/customer/", {"p": str(10**30)}).status_code == 302
