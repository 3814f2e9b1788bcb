"""Tenancy: objects of another organisation look like missing ones, over every route, method and role.

For each route that names an object, the response for a rival's object equals the response for one that does not
exist: status, body, and the headers that could differ.
"""

import uuid
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver, reverse

from exports import urls as export_urls
from exports.background import export_jobs
from exports.file_imports import import_jobs
from exports.file_imports.table import ImportTable
from shipments import services
from shipments.api import urls
from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.models import Organization, Role
from shipments.services.accounts import api_keys
from shipments.services.fleet import device_keys
from shipments.services.shipments import tracking_links
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db
HEADERS = ("ETag", "Location", "Allow", "Content-Type", "X-Freight-Seq")
METHODS = ("get", "post", "patch", "delete")
# Valid bodies, so that no 400 hides the check of the object.
BODIES: dict[str, dict[str, Any]] = {
    "shipment": {"pieces": 1},
    "shipment-transitions": {"to": "dispatched"},
    "shipment-checkpoints": {
        "classifier": "ACT", "occurredAt": "2026-03-02T12:00:00Z", "source": "x", "status": "in_transit",
    },
    "checkpoint-void": {"reason": "x"},
    "event-void": {"reason": "x"},
    "shipment-flags": {"flag": "damaged"},
    "shipment-pod": {"signerName": "x", "photo": "iVBORw0KGgo="},
    "driver": {"name": "New name"},
    "customer": {"name": "New name"},
    "api-keys": {"name": "Mine", "scopes": ["shipments:read"]},
    "driver-location": {"latitude": 1.0, "longitude": 2.0},
    "driver-device-keys": {"name": "Phone"},
}  # fmt: skip


def routes(*, all_of_them: bool = False) -> list[tuple[str, tuple[str, ...]]]:
    """Return the name and the parameters of every route that names an object, or of every route."""
    object_routes = []
    pending = [pattern for each in (urls, export_urls) for pattern in get_resolver(each.__name__).url_patterns]
    while pending:
        pattern = pending.pop()
        if isinstance(pattern, URLPattern):
            if all_of_them or set(pattern.pattern.converters) - {"extension", "code"}:
                object_routes.append((str(pattern.name), tuple(pattern.pattern.converters)))
        else:
            pending.extend(pattern.url_patterns)
    return sorted(object_routes)


ROUTES = routes()


FILE = ImportTable("csv", "", ["Reference"], 0, b"")


class OneOfEverything:
    """One object of each kind, in `organization`, by default a new one."""

    def __init__(self, organization: Organization | None = None) -> None:
        organization = organization or factories.organization("Rival")
        self.by: Subject = factories.member(organization, "admin")
        driver = factories.driver(organization)
        self.shipment = factories.booked_shipment(self.by, reference="THEIRS", driver_id=driver.pk)
        checkpoint, _ = services.observe(
            by=self.by, now=NOW, reference="THEIRS",
            observation=services.Observation(classifier="ACT", occurred_at=NOW, source="x", state="in_transit"),
        )  # fmt: skip
        services.open_flag(by=self.by, now=NOW, reference="THEIRS", flag="damaged")
        key, _ = api_keys.create(by=self.by, now=NOW, name="theirs", scopes=["shipments:read"])
        device_key, _ = device_keys.create(by=self.by, now=NOW, driver_id=driver.pk, name="theirs")
        link, _ = tracking_links.create(by=self.by, now=NOW, reference="THEIRS")
        self.names = {
            "device_key_id": device_key.pk,
            "link_id": link.pk,
            "reference": "THEIRS",
            "checkpoint_id": checkpoint.pk,
            "seq": checkpoint.seq,
            "code": "nothing",
            "driver_id": driver.pk,
            "customer_id": factories.customer(organization).pk,
            "key_id": key.pk,
            "flag": "damaged",
            "kind": "bol",
            "extension": "csv",
            "export_id": export_jobs.create(
                by=self.by, now=NOW, report="shipments", file_format="csv", filters={}
            ).pk,
            "import_id": import_jobs.create(by=self.by, now=NOW, table=FILE, filename="theirs.csv", size=1).pk,
        }


MISSING = {
    name: uuid.UUID(int=7)
    for name in (
        "checkpoint_id",
        "driver_id",
        "customer_id",
        "key_id",
        "device_key_id",
        "link_id",
        "export_id",
        "import_id",
    )
} | {
    "reference": "NOBODYS",
    "seq": 1,
    "flag": "damaged",
    "kind": "bol",
}


@pytest.fixture
def rival_objects(db: None) -> OneOfEverything:
    return OneOfEverything()


def call_route(
    api: Api, method: str, name: str, parameters: tuple[str, ...], names: dict[str, Any]
) -> dict[str, Any]:
    """Call a route and return what its response discloses, without what only identifies the request."""
    path = reverse(name, kwargs={parameter: names[parameter] for parameter in parameters})
    if method in {"post", "patch"}:
        response = getattr(api, method)(path, BODIES.get(name, {}), if_match="*")
    else:
        response = getattr(api, method)(path)
    body = response.json() if response.content else {}
    body_without_ids = {key: value for key, value in body.items() if key not in {"instance", "requestId"}}
    headers = {header: response.get(header) for header in HEADERS}
    return {"status": response.status_code, "body": body_without_ids, "headers": headers}


def test_the_parameters_of_all_routes_are_covered() -> None:
    assert {parameter for _, parameters in ROUTES for parameter in parameters} == set(MISSING)
    assert len(ROUTES) >= 13


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize(("name", "parameters"), ROUTES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rivals_object_and_a_missing_one_get_equal_responses(
    rival_objects: OneOfEverything,
    organization: Organization,
    role: str,
    name: str,
    parameters: tuple[str, ...],
) -> None:
    api = Api(factories.member(organization, role))

    for method in METHODS:
        theirs = call_route(api, method, name, parameters, rival_objects.names)
        nobodys = call_route(api, method, name, parameters, MISSING)

        assert (method, theirs) == (method, nobodys)
        assert theirs["status"] in {403, 404, 405}


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("parameter", ["driverId", "customerId"])
def test_a_list_filtered_by_a_rivals_object_is_empty(
    rival_objects: OneOfEverything, organization: Organization, role: str, parameter: str
) -> None:
    key = rival_objects.names["driver_id" if parameter == "driverId" else "customer_id"]

    answer = Api(factories.member(organization, role)).get("/api/shipments", {parameter: str(key)})

    assert answer.json()["results"] == []


@pytest.mark.parametrize("field", ["driverId", "customerId"])
def test_a_rivals_driver_or_customer_cannot_be_used(rival_objects: OneOfEverything, api: Api, field: str) -> None:
    theirs = rival_objects.names["driver_id" if field == "driverId" else "customer_id"]
    booking = {"origin": "NLRTM", "destination": "DEHAM"}

    refused = api.post("/api/shipments", booking | {field: str(theirs)})
    missing = api.post("/api/shipments", booking | {field: str(uuid.UUID(int=7))})

    assert refused.status_code == 400
    assert refused.json()["errors"] == missing.json()["errors"]


@pytest.mark.parametrize("role", Role.values)
def test_no_list_contains_a_rivals_objects(
    rival_objects: OneOfEverything, organization: Organization, role: str
) -> None:
    api = Api(factories.member(organization, role))
    rival_values = [str(value) for value in rival_objects.names.values() if isinstance(value, uuid.UUID)] + [
        "THEIRS"
    ]

    for path in ("shipments", "drivers", "customers", "events", "audit-log", "auth/api-keys"):
        content = api.get(f"/api/{path}").content.decode()

        assert [name for name in rival_values if name in content] == []


# -- device keys and tracking links -----------------------------------------------------------------------------

# What a tracking link may call, a ticket for a socket included. A new route is not among them by default.
OPEN_TO_LINKS = {
    ("shipment", "get"),
    ("shipment-events", "get"),
    ("shipment-stream", "get"),
    ("shipment-checkpoints", "get"),
    ("shipment-checkpoint", "get"),
    ("ws-ticket", "post"),
}
# Routes without authentication, or with one of their own.
PUBLIC = {"login", "refresh", "schema", "docs", "osmand", "problems", "problem"}
# These change and disclose nothing: there is no login to end.
HARMLESS = {("logout", "post")}


def device_key_subject(organization: Organization) -> Subject:
    """Return the subject of a device key."""
    by, driver = factories.member(organization, "dispatcher"), factories.driver(organization)
    _, secret = device_keys.create(by=by, now=NOW, driver_id=driver.pk, name="Phone")
    subject = bearers.authenticate_device(secret, now=NOW)
    assert subject is not None
    return subject


def link_subject(organization: Organization) -> Subject:
    """Return the subject of a tracking link."""
    by = factories.member(organization, "dispatcher")
    return factories.tracking_link_subject(by, factories.booked_shipment(by).reference)


@pytest.mark.parametrize("make_subject", [device_key_subject, link_subject])
def test_a_device_key_and_a_link_get_equal_responses_for_rival_and_missing_objects(
    rival_objects: OneOfEverything, organization: Organization, make_subject: Any
) -> None:
    api = Api(make_subject(organization))

    for name, parameters in ROUTES:
        for method in METHODS:
            theirs = call_route(api, method, name, parameters, rival_objects.names)
            nobodys = call_route(api, method, name, parameters, MISSING)

            assert (name, method, theirs) == (name, method, nobodys)
            assert theirs["status"] in {403, 404, 405}


def allowed(api: Api, names: dict[str, Any]) -> set[tuple[str, str]]:
    """Call every method of every route and return those that are not refused."""
    accepted = set()
    for name, parameters in routes(all_of_them=True):
        for method in METHODS:
            if name not in PUBLIC and call_route(api, method, name, parameters, names)["status"] not in {
                403,
                404,
                405,
            }:
                accepted.add((name, method))
    return accepted


def test_a_link_reads_its_shipment_and_its_log_and_nothing_else(organization: Organization) -> None:
    """All objects here belong to the shipment of the link."""
    own = OneOfEverything(organization)
    api = Api(factories.tracking_link_subject(own.by, "THEIRS"))

    assert allowed(api, own.names) == OPEN_TO_LINKS | HARMLESS
    assert api.get("/api/auth/api-keys").status_code == 403


def test_a_device_key_can_only_report_its_drivers_position(organization: Organization) -> None:
    subject = device_key_subject(organization)
    names = OneOfEverything(organization).names | {"driver_id": subject.driver_id}

    assert allowed(Api(subject), names) == {("driver-location", "post"), ("driver-positions", "post")} | HARMLESS


def test_a_link_reads_no_other_shipment(organization: Organization) -> None:
    by = factories.member(organization, "dispatcher")
    mine, other = factories.booked_shipment(by).reference, factories.booked_shipment(by).reference

    api = Api(factories.tracking_link_subject(by, mine))

    assert api.get(f"/api/shipments/{mine}").status_code == 200
    assert api.get(f"/api/shipments/{other}").json()["detail"] == "There is no such shipment."
    assert api.get(f"/api/shipments/{other}/events").status_code == 404
