"""GET /api/shipments?q= and GET /api/users/search?q=."""

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
def fleet(house: Organization, dispatcher: Subject) -> None:
    """Three shipments of two customers; C-300 is the newest."""
    north, kontor = factories.customer(house), factories.customer(house, "Kōyō Kontor & Sons")
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
        # Most numbers begin with SHIP-: the index is asked for what follows, and the whole text must be there.
        ("SHIP-4500012345", []),
        ("po-4500012345", ["SHIP-000100"]),
        ("northwind", ["SHIP-000100"]),
        ("no", ["SHIP-000100"]),
        ("KONTOR & S", ["SHIP-000200"]),
        ("antwerp", ["SHIP-000200"]),
        ("beanr", ["SHIP-000200"]),
        ("Hamburg", ["C-300", "SHIP-000200", "SHIP-000100"]),
        # One slip: exchanged, mistaken, lost, doubled; and likeness of names.
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
def test_what_is_typed_is_found(api: Api, fleet: None, text: str, references: list[str]) -> None:
    assert search(api, text) == references


@pytest.mark.parametrize(
    "text", ["%%", "__", "%a%", "'; --", '", "', "\\\\\\", "🚚🚚", "((((", "a" * 200, ":*&|!", "bol", "pro", "po"]
)
def test_strange_texts_find_nothing(api: Api, fleet: None, text: str) -> None:
    assert search(api, text) == []


def test_percent_and_underscore_stand_for_themselves(api: Api, fleet: None, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="D-400", references={"pro": "aXbYYc 9"})

    assert search(api, "a_b%c 9") == []
    assert search(api, "C_3") == []
    assert search(api, "MAEU7_") == []


def test_exactness_wins_over_likeness(api: Api, fleet: None, house: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="SHIP-000101")

    assert search(api, "SHIP-000101") == ["SHIP-000101"]


def test_it_goes_together_with_filters_orders_and_pages(api: Api, fleet: None) -> None:
    assert search(api, "Hamburg", "&status=draft") == []
    assert search(api, "Hamburg", "&ordering=reference") == ["C-300", "SHIP-000100", "SHIP-000200"]
    first = api.get("/api/shipments?q=hamburg&limit=2").json()
    second = api.get(first["next"]).json()
    assert [each["reference"] for each in first["results"] + second["results"]] == search(api, "Hamburg")


def test_nobody_finds_what_is_not_his(api: Api, fleet: None, house: Organization, rival: Subject) -> None:
    customer = factories.member(house, "customer", customer=factories.customer(house, "Other Ltd"))
    driver = factories.member(house, "driver")

    for stranger in (rival, customer, driver):
        for text in ("SHIP-000100", "SHPI-000100", "4500012345", "Northwind", "Nothwind", "Hamburg"):
            assert search(Api(stranger), text) == []


@pytest.mark.parametrize("text", ["", "a", " a ", "x" * 201])
def test_a_text_too_short_or_too_long_is_refused(api: Api, text: str) -> None:
    assert field_errors(api.get(f"/api/shipments?q={quote(text)}")) == [("q", "invalid")]


def test_the_number_of_queries_does_not_depend_on_what_is_found(
    api: Api, fleet: None, django_assert_max_num_queries: Any
) -> None:
    for text in ("Hamburg", "SHIP-000100", "SHPI-000100", "nothing like it"):
        with django_assert_max_num_queries(9):
            search(api, text)


# -- people -----------------------------------------------------------------------------------------------


def search_users(api: Api, text: str) -> list[str]:
    return [each["name"] for each in api.get(f"/api/users/search?q={quote(text)}").json()["results"]]


@pytest.fixture
def crew(house: Organization) -> None:
    for name, active in [("Ada Lovelace", True), ("Grace Hopper", True), ("Adam Gone", False)]:
        user = factories.user(house, "auditor")
        user.name, user.is_active = name, active
        user.email = name.lower().replace(" ", ".") + "@crew.test"
        user.save()


def test_members_are_found_by_name_address_and_likeness(api: Api, crew: None) -> None:
    assert search_users(api, "ada") == ["Ada Lovelace"]
    assert search_users(api, "grace.h") == ["Grace Hopper"]
    assert search_users(api, "Lovlace") == ["Ada Lovelace"]
    assert search_users(api, "crew.test") == []
    [shown] = api.get("/api/users/search?q=hopper").json()["results"]
    assert set(shown) == {"id", "name", "email", "role"}
    assert (shown["email"], shown["role"]) == ("grace.hopper@crew.test", "auditor")


def test_members_of_others_are_not_found(crew: None, rival: Subject) -> None:
    assert search_users(Api(rival), "ada") == []


def test_at_most_twenty_members_are_shown(api: Api, house: Organization) -> None:
    for _ in range(21):
        factories.user(house, "auditor")

    assert len(search_users(api, "auditor")) == 20


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("driver", 403), ("customer", 403), ("auditor", 403)])
def test_only_those_who_assign_work_may_look(house: Organization, role: str, status: int) -> None:
    assert Api(factories.member(house, role)).get("/api/users/search?q=ada").status_code == status


@pytest.mark.parametrize(
    ("query", "problem"), [("", ("q", "required")), ("q=a", ("q", "invalid")), ("p=ab", ("p", "unknown_parameter"))]
)
def test_it_must_be_asked_properly(api: Api, query: str, problem: tuple[str, str]) -> None:
    assert field_errors(api.get(f"/api/users/search?{query}")) == [problem]
