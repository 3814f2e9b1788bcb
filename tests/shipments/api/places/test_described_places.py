"""Places keep what was told beside their UN/LOCODE."""

from typing import Any

import pytest

from shipments.auth.subjects import Subject
from shipments.models import Location, Organization
from shipments.services.shipments.imports import ImportRow, import_rows
from shipments.services.shipments.places import Place
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
TERMINAL: dict[str, Any] = {
    "locode": "NLRTM", "name": "APM Maasvlakte II", "country": "NL", "latitude": 51.955, "longitude": 4.03,
    "facility": "Berth 3", "street": "Europaweg 910", "city": "Rotterdam", "state": "ZH", "postcode": "3199 LC",
}  # fmt: skip
LISTED = {"locode": "NLRTM", "name": "Rotterdam", "country": "NL", "latitude": 51.9167, "longitude": 4.5}


def book(api: Api, origin: Any, **fields: Any) -> Any:
    return api.post("/api/shipments", {"reference": "A-1", "origin": origin, "destination": "DEHAM"} | fields)


def test_a_place_is_shown_as_it_was_told_at_every_door(api: Api) -> None:
    booked = book(api, TERMINAL).json()
    observed = api.post(
        "/api/shipments/A-1/checkpoints",
        {"classifier": "ACT", "occurredAt": "2026-03-02T13:00:00Z", "source": "x", "status": "booked",
         "location": TERMINAL},
    ).json()  # fmt: skip

    assert booked["origin"] == observed["location"] == TERMINAL
    assert "warnings" not in booked
    created, seen = api.get("/api/shipments/A-1/events").json()["events"]
    assert created["location"] == created["data"]["changes"]["origin"] == seen["location"] == TERMINAL
    assert api.get("/api/shipments", {"origin": "NLRTM"}).json()["results"][0]["origin"] == TERMINAL
    assert api.get("/api/shipments/A-1", {"asOf": "2199-01-01T00:00:00Z"}).json()["origin"] == TERMINAL


@pytest.mark.parametrize(
    "told",
    ["NLRTM", {"locode": "NL RTM"}, LISTED, LISTED | {"name": "ROTTERDAM", "latitude": None, "longitude": None}],
)
def test_what_the_list_says_too_is_the_place_of_all(api: Api, organization: Organization, told: Any) -> None:
    factories.location("NLRTM", "Rotterdam", "NL", 51.9167, 4.5)

    assert book(api, told).json()["origin"] == LISTED
    assert not Location.objects.filter(organization=organization).exists()


def test_the_same_description_is_one_place(api: Api, organization: Organization) -> None:
    book(api, TERMINAL)
    book(api, TERMINAL | {"name": "APM  Maasvlakte II"}, reference="A-2")

    assert Location.objects.filter(organization=organization).count() == 1


def test_the_list_fills_in_what_was_not_told(api: Api) -> None:
    shown = book(api, {"locode": "NLRTM", "facility": "Berth 3"}).json()["origin"]

    assert shown["facility"] == "Berth 3"
    assert (shown["name"], shown["country"], shown["latitude"] is None) == ("Rotterdam", "NL", False)


def test_an_unlisted_code_is_a_warning_beside_a_place_and_refused_alone(api: Api, dispatcher: Subject) -> None:
    alone = book(api, "NLQQQ")
    nameless = book(api, {"locode": "NLQQQ", "city": "Q"})
    described = book(api, {"locode": "NLQQQ", "name": "Depot 7"})
    item = {"op": "create", "reference": "A-2", "origin": {"locode": "NLQQQ", "name": "Depot 7"}}
    bulk = api.post("/api/shipments/bulk", {"items": [item | {"destination": "DEHAM"}]}).json()
    row = {"origin": Place("Depot 7", "NL", locode="NLQQQ"), "destination": "DEHAM"}
    [imported] = import_rows(by=dispatcher, now=NOW, rows=[ImportRow(1, "A-3", row)], dry_run=False)

    assert (field_errors(alone), field_errors(nameless)) == ([("origin", "unknown_place")], [("origin", "name")])
    assert (described.status_code, described.json()["origin"]["locode"]) == (201, "NLQQQ")
    for warnings in (described.json()["warnings"], bulk["results"][0]["warnings"], imported.warnings):
        assert [(each["field"], each["code"]) for each in warnings] == [("origin", "unlisted_locode")]
    assert "warnings" not in api.get("/api/shipments/A-1").json()
    assert imported.outcome == "created"


def test_a_code_of_another_country_is_a_warning(api: Api) -> None:
    told = book(api, {"locode": "NLRTM", "name": "Duisburg", "country": "DE"}).json()

    assert [each["code"] for each in told["warnings"]] == ["other_country"]
    assert (told["origin"]["locode"], told["origin"]["country"]) == ("NLRTM", "DE")


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ({"name": "Depot", "country": "NL", "street": "x" * 121}, "detail"),
        ({"name": "Depot", "country": "NL", "postcode": 3199}, "detail"),
        ({"name": "Depot", "country": "NL", "phone": "1"}, "unknown_field"),
        ({"locode": 7}, "invalid"),
        ({"locode": "Rotterdam", "name": "Rotterdam"}, "invalid"),
        ({"city": "Rotterdam", "country": "NL"}, "name"),
    ],
)
def test_what_is_no_place_is_refused(api: Api, place: Any, code: str) -> None:
    assert field_errors(book(api, place)) == [("origin", code)]
