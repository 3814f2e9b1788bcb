"""Paths and query values as clients of other makes write them: slashes, capitals, spaces for `+`."""

import uuid
from typing import Any

import orjson
import pytest
from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator

from freight import urls
from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.exports.export_client import read_whole
from tests.shipments.api.client import Api
from tests.shipments.api.routes import api_routes, filled

pytestmark = pytest.mark.django_db


TOO_MANY = "The path has a slash too many; ask /api/shipments instead."
ROUTES = api_routes()


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("get", "/api/shipments/", "/api/shipments"),
        ("post", "/api/shipments/", "/api/shipments"),
        ("get", "/api/shipments/X-1/", "/api/shipments/X-1"),
        ("get", "/api//shipments", "/api/shipments"),
        ("patch", "/api/shipments/X-1//", "/api/shipments/X-1"),
        ("get", "/api/exports/", "/api/exports"),
        ("post", "/api/imports/shipments/", "/api/imports/shipments"),
    ],
)
def test_a_slash_too_many_is_told(api: Api, method: str, path: str, right: str) -> None:
    response = getattr(api, method)(path)

    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json()["code"] == "unknown_path"
    assert response.json()["detail"] == f"The path has a slash too many; ask {right} instead."


@pytest.mark.parametrize("path", ["/api/nothing/", "/api/shipments/X-1/nothing/", "/api"])
def test_no_path_is_proposed_that_is_none(api: Api, path: str) -> None:
    response = api.get(path)

    assert (response.status_code, response.json()["detail"]) == (404, "There is nothing here.")


def test_no_route_takes_ids_in_small_letters_only() -> None:
    assert [route for route in ROUTES if "<uuid:" in route] == []
    assert sum("<id:" in route for route in ROUTES) >= 11


@pytest.mark.parametrize("route", [route for route in ROUTES if "<id:" in route])
def test_an_id_in_capitals_is_the_same_id(route: str) -> None:
    one = uuid.UUID("0197a4c2-abcd-7000-8000-00000000000f")

    match = resolve(filled(route, str(one).upper()))

    assert one in match.kwargs.values()


def test_objects_are_found_by_ids_in_capitals(api: Api, organization: Organization) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    export = api.post("/api/exports", {"report": "shipments", "format": "csv"}).json()

    for name, key in [("drivers", driver.pk), ("customers", customer.pk), ("exports", export["id"])]:
        response = api.get(f"/api/{name}/{str(key).upper()}")

        assert (response.status_code, response.json()["id"]) == (200, str(key))
    assert api.get("/api/shipments", {"driverId": str(driver.pk).upper()}).status_code == 200


def query_times() -> list[tuple[str, str]]:
    document = SchemaGenerator().get_schema(request=None, public=True)
    return [
        (path, parameter["name"])
        for path, operations in document["paths"].items()
        for parameter in operations.get("get", {}).get("parameters", ())
        if parameter["in"] == "query" and parameter["schema"].get("format") == "date-time"
    ]


@pytest.mark.parametrize(("path", "name"), query_times())
def test_a_plus_in_a_query_time_may_arrive_as_a_space(
    admin_api: Api, dispatcher: Subject, path: str, name: str
) -> None:
    shipment = factories.booked_shipment(dispatcher)
    path = path.format(reference=shipment.reference, extension="csv")

    response = admin_api.get(f"{path}?{name}=2036-11-27T10:00:00+02:00")
    read_whole(response)

    assert response.status_code == 200


@pytest.fixture
def admin_api(organization: Organization) -> Api:
    return Api(factories.member(organization, "admin"))


@pytest.mark.parametrize(
    ("path", "detail"), [("//api//x", "There is nothing here."), ("//api/shipments", TOO_MANY)]
)
def test_slashes_before_the_prefix_lead_to_no_page(rf: Any, path: str, detail: str) -> None:
    request = rf.get("/")
    request.path_info = path

    response = urls.handler404(request, Exception())

    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert orjson.loads(response.content)["detail"] == detail


def test_the_handlers_know_the_api_by_its_prefix(rf: Any) -> None:
    assert urls.handler404(rf.get("/apiary"), Exception())["Content-Type"].startswith("text/html")
