"""A list's compiled SQL answers exactly as the ORM does, for every list, filter, ordering, direction and viewer."""

import itertools
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode, urlsplit

import pytest
from django.db.models import QuerySet

from shipments.auth.subjects import Subject
from shipments.compiled_sql import lists
from shipments.models import Organization
from shipments.selectors import shipments as selectors
from shipments.selectors.lists import keyset
from shipments.selectors.lists.definitions import AUDIT_LOG, CUSTOMERS, DRIVERS, SHIPMENTS
from shipments.selectors.lists.parsing import parse_list_query
from shipments.selectors.lists.query import ListDefinition
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db
EVERY_ORDER = tuple(SHIPMENTS.orderings)


@pytest.fixture
def dispatcher() -> Subject:
    by = factories.member(factories.organization(), "dispatcher")
    driver, customer = factories.driver(by_organization(by)), factories.customer(by_organization(by))
    factories.report_position(driver, 52.1, 4.9)
    for number in range(7):
        more = {"eta": NOW + timedelta(days=number)} if number % 2 else {}
        parties = {"driver_id": driver.pk, "customer_id": customer.pk} if number % 3 == 0 else {}
        now = NOW + timedelta(minutes=number)
        factories.booked_shipment(by, reference=f"SHIP-{number}", now=now, **parties, **more)
    return by


def by_organization(by: Subject) -> Organization:
    return Organization.objects.get(pk=by.organization_id)


def fetch_by_orm(
    _: Hashable, values: Mapping[str, Any], build: Callable[[Mapping[str, Any]], QuerySet[Any, dict[str, Any]]]
) -> list[dict[str, Any]]:
    return list(build(values))


def read_page(
    subject: Subject, text: str, *, compiled_sql: bool, definition: ListDefinition = SHIPMENTS
) -> tuple[list[dict[str, Any]], dict[str, str | None]]:
    """Return the rows of a page and the URLs of the pages around it, by compiled SQL or by the ORM."""
    query = parse_list_query(definition, "/api/list", text, subject)
    with patch.object(lists, "fetch_rows", lists.fetch_rows if compiled_sql else fetch_by_orm):
        page = keyset.read_page(query)
    return page.rows, {"next": query.page_url(page.next), "previous": query.page_url(page.previous)}


def read_both_ways(
    subject: Subject, text: str, definition: ListDefinition = SHIPMENTS
) -> tuple[list[dict[str, Any]], dict[str, str | None]]:
    """Read both ways, by compiled SQL twice, assert that the answers are equal, and return one."""
    theirs = read_page(subject, text, compiled_sql=False, definition=definition)
    ours = [read_page(subject, text, compiled_sql=True, definition=definition) for _ in range(2)]
    assert ours == [theirs, theirs]
    return theirs


@pytest.mark.parametrize("order", EVERY_ORDER)
def test_every_page_forward_and_back_is_the_same_as_by_the_orm(dispatcher: Subject, order: str) -> None:
    references: list[str] = []
    text: str | None = urlencode({"ordering": order, "limit": 3})
    last = text
    while text is not None:
        last = text
        rows, around = read_both_ways(dispatcher, text)
        references += [row["reference"] for row in rows]
        text = urlsplit(around["next"]).query if around["next"] else None
    back: list[str] = []
    text = last
    while text is not None:
        rows, around = read_both_ways(dispatcher, text)
        back = [row["reference"] for row in rows] + back
        text = urlsplit(around["previous"]).query if around["previous"] else None

    assert sorted(references) == [f"SHIP-{number}" for number in range(7)]
    assert back == references


def filter_queries(subject: Subject) -> list[dict[str, str]]:
    row = selectors.visible_shipments(subject).filter(driver__isnull=False).values("driver_id", "customer_id")[0]
    return [
        {"status": "booked"},
        {"status": "booked,delivered"},
        {"status": "draft,booked,delivered"},
        {"driverId": str(row["driver_id"])},
        {"customerId": str(row["customer_id"])},
        {"customerId": str(row["driver_id"])},
        {"origin": "NLRTM"},
        {"destination": "DEHAM", "status": "booked"},
        {"createdAfter": (NOW + timedelta(minutes=2)).isoformat()},
        {"createdAfter": (NOW + timedelta(minutes=3)).isoformat()},
        {"createdBefore": (NOW + timedelta(minutes=3)).isoformat(), "createdAfter": NOW.isoformat()},
        {"updatedSince": (NOW + timedelta(minutes=4)).isoformat()},
        {"flag": "delayed"},
        {"q": "ship"},
        {"q": "SHIP-3"},
    ]


@pytest.mark.parametrize("role", ["dispatcher", "driver", "customer", "auditor", "tracking"])
def test_every_filter_finds_the_same_as_the_orm_for_every_role(dispatcher: Subject, role: str) -> None:
    viewer = dispatcher
    if role == "tracking":
        viewer = factories.tracking_link_subject(dispatcher, "SHIP-0")
    elif role != "dispatcher":
        viewer = factories.member(by_organization(dispatcher), role)

    for filters, order in itertools.product(filter_queries(dispatcher), ("-createdAt", "eta")):
        read_both_ways(viewer, urlencode(filters | {"ordering": order, "limit": 2}))


@pytest.mark.parametrize("role", ["admin", "dispatcher", "driver", "customer"])
@pytest.mark.parametrize(
    ("definition", "queries"),
    [
        (DRIVERS, [{}, {"q": "a"}, {"status": "active"}, {"ordering": "-name"}]),
        (CUSTOMERS, [{}, {"q": "a"}, {"ordering": "-name"}]),
        (AUDIT_LOG, [{}, {"action": "book"}, {"from": NOW.isoformat(), "entity": "shipment"}, {"ordering": "at"}]),
    ],
)
def test_the_other_lists_too(
    dispatcher: Subject, definition: ListDefinition, queries: list[dict[str, str]], role: str
) -> None:
    viewer = factories.member(by_organization(dispatcher), role)
    for name in ("Ada", "Berta"):
        factories.driver(by_organization(dispatcher), name)
        factories.customer(by_organization(dispatcher), name)

    for query in queries:
        text: str | None = urlencode(query | {"limit": 1})
        for _ in range(3):
            if text is not None:
                _, around = read_both_ways(viewer, text, definition)
                text = urlsplit(around["next"]).query if around["next"] else None


def test_a_shape_is_compiled_once_for_each_scope(dispatcher: Subject) -> None:
    lists._compiled_queries.clear()
    for minute in range(5):
        rows, _ = read_page(dispatcher, f"createdAfter=2026-01-01T00:0{minute}:00Z&limit=5", compiled_sql=True)

    assert len(lists._compiled_queries) == 1
    stranger = factories.member(factories.organization(), "dispatcher")
    assert rows
    assert read_page(stranger, "createdAfter=2026-01-01T00:00:00Z&limit=5", compiled_sql=True)[0] == []
    assert len(lists._compiled_queries) == 2


def test_a_query_without_its_placeholders_is_left_to_the_orm(dispatcher: Subject) -> None:
    lists._compiled_queries.clear()

    read_both_ways(dispatcher, "flag=delayed")

    assert list(lists._compiled_queries.values()) == [None]


def test_the_number_of_compiled_shapes_is_bounded(dispatcher: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_MAX_SHAPES", 3)
    lists._compiled_queries.clear()

    for limit in range(1, 8):
        read_both_ways(dispatcher, f"limit={limit}")

    assert len(lists._compiled_queries) <= 3
