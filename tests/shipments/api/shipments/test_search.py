"""GET /api/shipments?q=."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


def search(api: Api, text: str, more: str = "") -> list[str]:
    response = api.get(f"/api/shipments?q={quote(text)}{more}")
    assert response.status_code == 200, response.content
    return [each["reference"] for each in response.json()["results"]]


@pytest.fixture
def three_shipments(organization: Organization, dispatcher: Subject) -> None:
    """Three shipments of two customers; C-300 is the newest."""
    north, kontor = factories.customer(organization), factories.customer(organization, "Kōyō Kontor & Sons")
    factories.booked_shipment(
        dispatcher,
        reference="SHIP-000100",
        customer_id=north.pk,
        references={"po": "PO-4500012345", "bol": "MAEU77"},
    )
    factories.booked_shipment(
        dispatcher, reference="SHIP-000200", customer_id=kontor.pk, now=NOW + timedelta(minutes=1), origin="BEANR"
    )
    factories.booked_shipment(
        dispatcher, reference="C-300", now=NOW + timedelta(minutes=2), references={"pro": "a_b%c 9"}
    )


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("SHIP-000100", ["SHIP-000100"]),
        ("ship-0002", ["SHIP-000200"]),
        ("SH", ["SHIP-000200", "SHIP-000100"]),
        ("000200", ["SHIP-000200"]),
        ("4500012345", ["SHIP-000100"]),
        ("po-45000", ["SHIP-000100"]),
        ("po-45", ["SHIP-000100"]),
        ("maeu77", ["SHIP-000100"]),
        # Most references begin with SHIP-: the index looks up the rest, and the whole text must match too.
        ("SHIP-4500012345", []),
        ("po-4500012345", ["SHIP-000100"]),
        ("northwind", ["SHIP-000100"]),
        ("no", ["SHIP-000100"]),
        ("KONTOR & S", ["SHIP-000200"]),
        ("antwerp", ["SHIP-000200"]),
        ("beanr", ["SHIP-000200"]),
        ("Hamburg", ["C-300", "SHIP-000200", "SHIP-000100"]),
        # One typing error: swapped, wrong, missing or doubled character; and similar names.
        ("SHPI-000100", ["SHIP-000100"]),
        ("SHIP-0001O0", ["SHIP-000100"]),
        ("SHIP00200", []),
        ("SHIP000200", ["SHIP-000200"]),
        ("SHIP-0000200", ["SHIP-000200"]),
        ("Nothwind", ["SHIP-000100"]),
        ("Antwep", ["SHIP-000200"]),
        ("Ratterdam", ["C-300", "SHIP-000100"]),
    ],
)
def test_search_finds(api: Api, three_shipments: None, text: str, references: list[str]) -> None:
    assert search(api, text) == references


@pytest.mark.parametrize(
    "text", ["%%", "__", "%a%", "'; --", '", "', "\\\\\\", "🚚🚚", "((((", "a" * 200, ":*&|!", "bol", "pro", "po"]
)
def test_special_characters_find_nothing(api: Api, three_shipments: None, text: str) -> None:
    assert search(api, text) == []


def test_percent_and_underscore_are_no_wildcards(api: Api, three_shipments: None, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="D-400", references={"pro": "aXbYYc 9"})

    assert search(api, "a_b%c 9") == []
    assert search(api, "C_3") == []
    assert search(api, "MAEU7_") == []


def test_an_exact_match_excludes_similar_ones(
    api: Api, three_shipments: None, organization: Organization, dispatcher: Subject
) -> None:
    factories.booked_shipment(dispatcher, reference="SHIP-000101")

    assert search(api, "SHIP-000101") == ["SHIP-000101"]


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("q=Northwind", "exact"),
        ("q=SHIP-000100", "exact"),
        ("q=nothing+like+this", "exact"),
        ("q=Nothwind", "fuzzy"),
        ("q=SHPI-000100", "fuzzy"),
        ("q=Ratterdam&limit=1", "fuzzy"),
        ("q=Ratterdam&ordering=eta", "fuzzy"),
        ("status=booked", None),
    ],
)
def test_an_answer_that_is_only_like_the_text_says_so(
    api: Api, three_shipments: None, query: str, match: str | None
) -> None:
    page = api.get(f"/api/shipments?{query}").json()

    assert page.get("match") == match
    if page["next"]:
        assert api.get(page["next"]).json()["match"] == match


def test_search_combines_with_filters_orderings_and_pages(api: Api, three_shipments: None) -> None:
    assert search(api, "Hamburg", "&status=draft") == []
    assert search(api, "Hamburg", "&ordering=reference") == ["C-300", "SHIP-000100", "SHIP-000200"]
    first = api.get("/api/shipments?q=hamburg&limit=2").json()
    second = api.get(first["next"]).json()
    assert [each["reference"] for each in first["results"] + second["results"]] == search(api, "Hamburg")


def test_search_finds_only_visible_shipments(
    api: Api, three_shipments: None, organization: Organization, rival: Subject
) -> None:
    customer = factories.member(organization, "customer", customer=factories.customer(organization, "Other Ltd"))
    driver = factories.member(organization, "driver")

    for stranger in (rival, customer, driver):
        for text in ("SHIP-000100", "SHPI-000100", "4500012345", "Northwind", "Nothwind", "Hamburg"):
            assert search(Api(stranger), text) == []


@pytest.mark.parametrize("text", ["", "a", " a ", "x" * 201])
def test_a_text_too_short_or_too_long_is_refused(api: Api, text: str) -> None:
    assert field_errors(api.get(f"/api/shipments?q={quote(text)}")) == [("q", "invalid")]


def test_every_search_needs_at_most_nine_queries(
    api: Api, three_shipments: None, django_assert_max_num_queries: Any
) -> None:
    for text in ("Hamburg", "SHIP-000100", "SHPI-000100", "nothing like it"):
        with django_assert_max_num_queries(9):
            search(api, text)
