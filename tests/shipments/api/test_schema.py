"""/api/schema and /api/docs: the schema is valid and complete, and responses match it."""

from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db
UNDESCRIBED = {"schema", "docs"}


@pytest.fixture(scope="module")
def document() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


def test_the_schema_is_valid_and_without_warnings(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_the_schema_is_served_without_authentication(db: None) -> None:
    response = Api(None).get("/api/schema", Accept="application/json")

    assert response.status_code == 200
    assert response.json()["openapi"] == "3.1.0"


def test_the_docs_page_runs_no_inline_script_or_style(db: None) -> None:
    response = Api(None).get("/api/docs", Accept="text/html")

    assert response.status_code == 200
    assert response.content.count(b"<script") == response.content.count(b"<script src=")
    assert b"<style" not in response.content
    assert "unsafe" not in response["Content-Security-Policy"]


def validator(document: Any, path: str, method: str, status: int) -> Draft202012Validator:
    content = document["paths"][path][method]["responses"][str(status)]["content"]
    [media] = content.values()
    return Draft202012Validator({**media["schema"], "components": document["components"]})


def test_responses_match_their_schemas(
    document: Any, api: Api, organization: Organization, dispatcher: Subject
) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    factories.report_position(driver, 1.0, 2.0)
    full = factories.booked_shipment(
        dispatcher, driver_id=driver.pk, customer_id=customer.pk, pieces=3, references={"po": "1"}
    )
    bare = factories.booked_shipment(dispatcher)
    one = "/api/shipments/{reference}"

    for path, method, response in [
        ("/api/shipments", "get", api.get("/api/shipments?limit=1")),
        ("/api/shipments", "get", api.get("/api/shipments?limit=0")),
        ("/api/shipments", "post", api.post("/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"})),
        ("/api/shipments", "post", api.post("/api/shipments", {})),
        (one, "get", api.get(f"/api/shipments/{full.reference}")),
        (one, "get", api.get(f"/api/shipments/{bare.reference}")),
        (one, "get", api.get("/api/shipments/NONE")),
        (one, "patch", api.patch(f"/api/shipments/{bare.reference}", {}, If_Match="*")),
        (one, "patch", api.patch(f"/api/shipments/{bare.reference}", {})),
        (f"{one}/transitions", "post", api.post(f"/api/shipments/{bare.reference}/transitions", {"to": "lost"})),
        (f"{one}/events", "get", api.get(f"/api/shipments/{full.reference}/events")),
        (f"{one}/events", "get", api.get(f"/api/shipments/{full.reference}/events?after=99")),
        ("/api/drivers", "get", api.get("/api/drivers")),
        ("/api/drivers/{driver_id}", "get", api.get(f"/api/drivers/{driver.pk}")),
        ("/api/customers", "get", api.get("/api/customers")),
        ("/api/customers/{customer_id}", "get", api.get(f"/api/customers/{customer.pk}")),
    ]:
        errors = [
            error.message
            for error in validator(document, path, method, response.status_code).iter_errors(response.json())
        ]
        assert (path, method, response.status_code, errors) == (path, method, response.status_code, [])


def test_every_field_of_a_response_is_described(
    document: Any, api: Api, organization: Organization, dispatcher: Subject
) -> None:
    driver = factories.driver(organization)
    shipment = factories.booked_shipment(dispatcher, driver_id=driver.pk)
    schemas = document["components"]["schemas"]

    assert set(api.get(f"/api/shipments/{shipment.reference}").json()) == set(schemas["Shipment"]["properties"])
    assert set(api.get(f"/api/drivers/{driver.pk}").json()) == set(schemas["DriverShape"]["properties"])


def test_every_route_is_described(document: Any) -> None:
    described = {path.removeprefix("/api/") for path in document["paths"]}

    assert {route for route, name in routes() if name not in UNDESCRIBED} <= described


def routes(resolver: Any = None, prefix: str = "") -> list[tuple[str, str | None]]:
    """Return template and name of every route of shipments.api."""
    route_names = []
    for each in (resolver or get_resolver("shipments.api.urls")).url_patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            route_names += routes(each, route)
        elif isinstance(each, URLPattern):
            template = "/".join(
                f"{{{part[1:-1].partition(':')[2]}}}" if part[:1] == "<" else part for part in route.split("/")
            )
            route_names.append((template, each.name))
    return route_names


def test_if_match_and_etag_are_described(document: Any) -> None:
    patch = document["paths"]["/api/shipments/{reference}"]["patch"]

    assert {"name": "If-Match", "in": "header", "required": True}.items() <= next(
        parameter for parameter in patch["parameters"] if parameter["name"] == "If-Match"
    ).items()
    assert "ETag" in patch["responses"]["200"]["headers"]
    assert set(patch["responses"]) >= {"200", "400", "401", "403", "404", "412", "413", "415", "428", "429", "503"}
