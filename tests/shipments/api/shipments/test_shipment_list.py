"""GET /api/shipments: filters, orderings, pages, and the number of queries."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
PATH = "/api/shipments"


def book(by: Subject, *references: str, **fields: Any) -> list[str]:
    """Book shipments a minute apart, all in the given order."""
    for minute, reference in enumerate(references):
        factories.booked_shipment(by, reference=reference, now=NOW + timedelta(minutes=minute), **fields)
    return list(references)


def references(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [shipment["reference"] for shipment in response.json()["results"]]


def walk(api: Api, url: str, rel: str = "next") -> list[list[str]]:
    """Return the references page by page, from a URL on."""
    pages = []
    while url:
        response = api.get(url)
        pages.append(references(response))
        url = response.json()[rel]
    return pages


def test_newest_first_by_default(api: Api, dispatcher: Subject) -> None:
    book(dispatcher, "A", "B", "C")

    response = api.get(PATH)

    assert references(response) == ["C", "B", "A"]
    assert response.json()["next"] is None
    assert response.json()["previous"] is None
    assert "Link" not in response


def test_another_organisations_shipments_are_not_listed(api: Api, rival: Subject) -> None:
    book(rival, "THEIRS")

    assert references(api.get(PATH)) == []


def test_a_driver_and_a_customer_see_only_their_own(organization: Organization, dispatcher: Subject) -> None:
    driver, customer = factories.member(organization, "driver"), factories.member(organization, "customer")
    factories.booked_shipment(dispatcher, reference="DRIVEN", driver_id=driver.driver_id)
    factories.booked_shipment(dispatcher, reference="ORDERED", customer_id=customer.customer_id)
    factories.booked_shipment(dispatcher, reference="OTHER")

    assert references(Api(driver).get(PATH)) == ["DRIVEN"]
    assert references(Api(customer).get(PATH)) == ["ORDERED"]
    assert references(Api(factories.member(organization, "auditor")).get(PATH)) == ["OTHER", "ORDERED", "DRIVEN"]


def test_customers_see_neither_phone_nor_notes(organization: Organization, dispatcher: Subject) -> None:
    customer = factories.member(organization, "customer")
    book(
        dispatcher, "SECRET", customer_id=customer.customer_id, notes="pays late",
        driver_id=factories.driver(organization, phone="+31 6 999").pk,
    )  # fmt: skip

    response = Api(customer).get(PATH)

    assert references(response) == ["SECRET"]
    assert b"pays late" not in response.content
    assert b"+31 6 999" not in response.content


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "booked"}, ["C", "A"]),
        ({"status": "booked,draft"}, ["C", "B", "A"]),
        ({"status": "delivered"}, []),
        ({"origin": "nlrtm"}, ["C", "B", "A"]),
        ({"origin": "DEHAM"}, []),
        ({"destination": "DEHAM"}, ["C", "B", "A"]),
        ({"destination": "NLRTM"}, []),
        ({"q": "northwind"}, ["C"]),
        ({"q": "%%"}, []),
        ({"createdAfter": "2026-03-02T12:01:00Z"}, ["C", "B"]),
        ({"createdBefore": "2026-03-02T12:01:00Z"}, ["A"]),
        ({"updatedSince": "2026-03-02T13:02:00+01:00"}, ["C"]),
        ({"flag": "delayed"}, []),
        ({"ordering": "createdAt"}, ["A", "B", "C"]),
        ({"ordering": "-updatedAt"}, ["C", "B", "A"]),
        ({"ordering": "updatedAt"}, ["A", "B", "C"]),
        ({"ordering": "reference"}, ["A", "B", "C"]),
        ({"ordering": "-reference", "status": "booked"}, ["C", "A"]),
    ],
)
def test_filters_and_orderings(
    api: Api, organization: Organization, dispatcher: Subject, query: dict[str, str], expected: list[str]
) -> None:
    factories.booked_shipment(dispatcher, reference="A", now=NOW)
    factories.booked_shipment(dispatcher, reference="B", now=NOW + timedelta(minutes=1), status="draft")
    customer = factories.customer(organization, "Northwind Traders")
    factories.booked_shipment(dispatcher, reference="C", now=NOW + timedelta(minutes=2), customer_id=customer.pk)

    assert references(api.get(PATH, query)) == expected


def test_filters_by_driver_and_customer(api: Api, organization: Organization, dispatcher: Subject) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    book(dispatcher, "DRIVEN", driver_id=driver.pk)
    book(dispatcher, "ORDERED", customer_id=customer.pk)

    assert references(api.get(PATH, {"driverId": str(driver.pk)})) == ["DRIVEN"]
    assert references(api.get(PATH, {"customerId": str(customer.pk)})) == ["ORDERED"]


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("organization=x&seq=1", [("organization", "unknown_parameter"), ("seq", "unknown_parameter")]),
        ("ordering=notes", [("ordering", "invalid")]),
        ("ordering=organization_id", [("ordering", "invalid")]),
        ("status=booked,nonsense", [("status", "invalid")]),
        ("status=", [("status", "invalid")]),
        ("limit=1000000000", [("limit", "invalid")]),
        ("limit=201", [("limit", "invalid")]),
        ("limit=0", [("limit", "invalid")]),
        ("limit=-1", [("limit", "invalid")]),
        ("limit=%D9%A3", [("limit", "invalid")]),
        ("limit=" + "9" * 5000, [("limit", "invalid")]),
        ("limit=5&limit=6", [("limit", "repeated")]),
        ("driverId=17", [("driverId", "invalid")]),
        ("origin=Rotterdam", [("origin", "invalid")]),
        ("q=%00", [("q", "invalid")]),
        ("q=", [("q", "invalid")]),
        ("q=%20a%20", [("q", "invalid")]),
        ("q=" + "x" * 201, [("q", "invalid")]),
        ("createdAfter=yesterday", [("createdAfter", "invalid")]),
        ("createdAfter=2026-03-02T12:00:00", [("createdAfter", "invalid")]),
        ("createdBefore=2026-02-30T12:00:00Z", [("createdBefore", "invalid")]),
        ("updatedSince=0001-01-01T00:00:00%2B14:00", [("updatedSince", "invalid")]),
        ("updatedSince=9999-12-31T23:59:59-14:00", [("updatedSince", "invalid")]),
        ("flag=pretty", [("flag", "invalid")]),
        ("cursor=abc", [("cursor", "invalid")]),
        ("cursor=%F0%9F%9A%9A", [("cursor", "invalid")]),
    ],
)
def test_invalid_values_are_named(api: Api, query: str, refused: list[tuple[str, str]]) -> None:
    response = api.get(f"{PATH}?{query}")

    assert response.status_code == 400
    assert field_errors(response) == refused


# -- pages ------------------------------------------------------------------------------------------------


def test_pages_hold_every_row_once_in_both_directions(api: Api, dispatcher: Subject) -> None:
    book(dispatcher, *"ABCDEFG")

    forward = walk(api, f"{PATH}?limit=3")
    last = api.get(api.get(f"{PATH}?limit=3").json()["next"]).json()["next"]
    backward = walk(api, last, "previous")

    assert forward == [["G", "F", "E"], ["D", "C", "B"], ["A"]]
    assert backward == [["A"], ["D", "C", "B"], ["G", "F", "E"]]


def test_links_are_in_the_header_too(api: Api, dispatcher: Subject) -> None:
    book(dispatcher, *"ABC")

    middle = api.get(api.get(f"{PATH}?limit=1").json()["next"])

    body = middle.json()
    assert middle["Link"] == f'<{body["next"]}>; rel="next", <{body["previous"]}>; rel="prev"'


def test_rows_inserted_while_paging_do_not_shift_pages(api: Api, dispatcher: Subject) -> None:
    book(dispatcher, *"ABCD")
    first = api.get(f"{PATH}?limit=2")

    factories.booked_shipment(dispatcher, reference="NEW", now=NOW + timedelta(hours=1))

    second = api.get(first.json()["next"])
    assert references(second) == ["B", "A"]
    assert second.json()["next"] is None
    assert references(api.get(second.json()["previous"])) == ["D", "C"]
    assert walk(api, second.json()["previous"], "previous") == [["D", "C"], ["NEW"]]


@pytest.mark.parametrize("ordering", ["createdAt", "-createdAt", "updatedAt", "-updatedAt", "eta", "-eta"])
def test_ties_have_the_same_order_on_every_page(api: Api, dispatcher: Subject, ordering: str) -> None:
    for number in range(7):
        factories.booked_shipment(dispatcher, reference=f"T{number}", now=NOW, planned_delivery_at=NOW)

    whole = references(api.get(PATH, {"ordering": ordering}))
    pages = walk(api, f"{PATH}?limit=2&ordering={ordering}")

    assert sorted(whole) == [f"T{number}" for number in range(7)]
    assert [reference for page in pages for reference in page] == whole


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("ordering", "expected"),
    [("eta", ["E1", "E2", "E3", "N1", "N2", "N3"]), ("-eta", ["E3", "E2", "E1", "N3", "N2", "N1"])],
)
def test_shipments_without_eta_come_last_in_both_orderings(
    api: Api, dispatcher: Subject, ordering: str, expected: list[str], limit: int
) -> None:
    book(dispatcher, "N1", "N2", "N3")
    for day in (2, 1, 3):
        factories.booked_shipment(dispatcher, reference=f"E{day}", planned_delivery_at=NOW + timedelta(days=day))

    forward = walk(api, f"{PATH}?limit={limit}&ordering={ordering}")
    end = f"{PATH}?limit={limit}&ordering={ordering}"
    while following := api.get(end).json()["next"]:
        end = following
    backward = walk(api, end, "previous")

    assert [reference for page in forward for reference in page] == expected
    assert backward == forward[::-1]


@pytest.mark.parametrize(
    "change",
    [lambda c: c[:-2] + ("AA" if not c.endswith("AA") else "BB"), lambda c: "A" + c, lambda c: c.partition(":")[0]],
)
def test_a_tampered_cursor_is_refused(api: Api, dispatcher: Subject, change: Any) -> None:
    book(dispatcher, *"AB")
    url = api.get(f"{PATH}?limit=1").json()["next"]
    cursor = url.partition("cursor=")[2].replace("%3A", ":")

    response = api.get(PATH, {"limit": 1, "cursor": change(cursor)})

    assert response.status_code == 400
    assert field_errors(response) == [("cursor", "invalid")]


@pytest.mark.parametrize("other", ["ordering=createdAt", "status=booked", "q=ab"])
def test_a_cursor_works_only_with_its_own_query(api: Api, dispatcher: Subject, other: str) -> None:
    book(dispatcher, *"AB")
    url = api.get(f"{PATH}?limit=1").json()["next"]

    response = api.get(f"{url}&{other}")

    assert response.status_code == 400
    assert field_errors(response) == [("cursor", "mismatch")]


def test_a_cursor_of_another_organisation_shows_none_of_its_rows(api: Api, rival: Subject) -> None:
    book(rival, *"ABC")
    url = Api(rival).get(f"{PATH}?limit=1").json()["next"]

    assert references(api.get(url)) == []


# -- queries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 50])
def test_a_page_is_one_query_for_any_number_of_rows(
    api: Api, organization: Organization, dispatcher: Subject, rows: int
) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    factories.report_position(driver, 52.0, 4.0)
    for _ in range(rows):
        factories.booked_shipment(dispatcher, driver_id=driver.pk, customer_id=customer.pk)

    with CaptureQueriesContext(connection) as queries:
        response = api.get(PATH)

    assert len(response.json()["results"]) == rows
    assert response.json()["results"][0]["position"]["latitude"] == 52.0
    assert len(queries) == 1
