"""Another organisation's objects are not there: generated over every route, method and role.

For each route that names an object, the answer about a rival's object equals the answer about one that does
not exist: status, headers that tell something, and body.
"""

import uuid
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver

from shipments import services
from shipments.access import Subject
from shipments.api import urls
from shipments.models import Organization, Role
from shipments.services import api_keys
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db
HEADERS = ("ETag", "Location", "Allow", "Content-Type", "X-Freight-Seq")
METHODS = ("get", "post", "patch", "delete")
# A body that would be accepted, so that no refusal of the body hides what is behind it.
BODIES: dict[str, dict[str, Any]] = {
    "shipment": {"pieces": 1},
    "shipment-transitions": {"to": "dispatched"},
    "shipment-checkpoints": {
        "classifier": "ACT", "occurredAt": "2026-03-02T12:00:00Z", "source": "x", "status": "in_transit",
    },
    "checkpoint-void": {"reason": "x"},
    "shipment-flags": {"flag": "damaged"},
    "shipment-pod": {"signerName": "x", "photo": "iVBORw0KGgo="},
    "driver": {"name": "New name"},
    "customer": {"name": "New name"},
}  # fmt: skip


def routes() -> list[tuple[str, tuple[str, ...]]]:
    """This will return the name and the parameters of every route that names an object."""
    found = []
    ahead = list(get_resolver(urls).url_patterns)
    while ahead:
        pattern = ahead.pop()
        if isinstance(pattern, URLPattern):
            if pattern.pattern.converters:
                found.append((str(pattern.name), tuple(pattern.pattern.converters)))
        else:
            ahead.extend(pattern.url_patterns)
    return sorted(found)


ROUTES = routes()


class Rival:
    """One of everything, in another organisation."""

    def __init__(self) -> None:
        self.by: Subject = factories.member(org := factories.organization("Rival"), "admin")
        driver = factories.driver(org)
        self.shipment = factories.booked(self.by, reference="THEIRS", driver_id=driver.pk)
        checkpoint, _ = services.observe(
            by=self.by, now=NOW, reference="THEIRS",
            observation=services.Observation(classifier="ACT", occurred_at=NOW, source="x", state="in_transit"),
        )  # fmt: skip
        services.open_flag(by=self.by, now=NOW, reference="THEIRS", flag="damaged")
        key, _ = api_keys.create(by=self.by, now=NOW, name="theirs", scopes=["shipments:read"])
        self.names = {
            "reference": "THEIRS",
            "checkpoint_id": checkpoint.pk,
            "driver_id": driver.pk,
            "customer_id": factories.customer(org).pk,
            "key_id": key.pk,
            "flag": "damaged",
        }


MISSING = {name: uuid.UUID(int=7) for name in ("checkpoint_id", "driver_id", "customer_id", "key_id")} | {
    "reference": "NOBODYS",
    "flag": "damaged",
}


@pytest.fixture
def rival_org(db: None) -> Rival:
    return Rival()


def ask(api: Api, method: str, name: str, parameters: tuple[str, ...], names: dict[str, Any]) -> dict[str, Any]:
    """This will call a route and return what its answer tells, without what tells the request itself."""
    from django.urls import reverse  # the root URLconf is loaded by now

    path = reverse(name, kwargs={parameter: names[parameter] for parameter in parameters})
    if method in {"post", "patch"}:
        answer = getattr(api, method)(path, BODIES.get(name, {}), if_match="*")
    else:
        answer = getattr(api, method)(path)
    body = answer.json() if answer.content else {}
    told = {key: value for key, value in body.items() if key not in {"instance", "requestId"}}
    headers = {
        header: answer.get(header) for header in ("ETag", "Location", "Allow", "Content-Type", "X-Freight-Seq")
    }
    return {"status": answer.status_code, "body": told, "headers": headers}


def test_the_routes_that_name_objects_are_known() -> None:
    assert {parameter for _, parameters in ROUTES for parameter in parameters} == set(MISSING)
    assert len(ROUTES) >= 9


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "parameters"), ROUTES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rivals_object_and_a_missing_one_answer_alike(
    rival_org: Rival, house: Organization, role: str, method: str, name: str, parameters: tuple[str, ...]
) -> None:
    api = Api(factories.member(house, role))

    theirs = ask(api, method, name, parameters, rival_org.names)
    nobodys = ask(api, method, name, parameters, MISSING)

    assert theirs == nobodys
    assert theirs["status"] in {403, 404, 405}


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("parameter", ["driverId", "customerId"])
def test_a_list_narrowed_by_a_rivals_object_is_empty(
    rival_org: Rival, house: Organization, role: str, parameter: str
) -> None:
    key = rival_org.names["driver_id" if parameter == "driverId" else "customer_id"]

    answer = Api(factories.member(house, role)).get("/api/shipments", {parameter: str(key)})

    assert answer.json()["results"] == []


@pytest.mark.parametrize("field", ["driverId", "customerId"])
def test_a_rivals_driver_or_customer_cannot_be_used(rival_org: Rival, api: Api, field: str) -> None:
    theirs = rival_org.names["driver_id" if field == "driverId" else "customer_id"]
    booking = {"origin": "NLRTM", "destination": "DEHAM"}

    refused = api.post("/api/shipments", booking | {field: str(theirs)})
    missing = api.post("/api/shipments", booking | {field: str(uuid.UUID(int=7))})

    assert refused.status_code == 400
    assert refused.json()["errors"] == missing.json()["errors"]


@pytest.mark.parametrize("role", Role.values)
def test_no_list_holds_anything_of_a_rivals(rival_org: Rival, house: Organization, role: str) -> None:
    api = Api(factories.member(house, role))
    strange = [str(value) for value in rival_org.names.values() if not isinstance(value, str)] + ["THEIRS"]

    for path in ("shipments", "drivers", "customers", "events", "audit-log", "auth/api-keys"):
        told = api.get(f"/api/{path}").content.decode()

        assert [name for name in strange if name in told] == []
