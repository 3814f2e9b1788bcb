"""Another organisation's objects are not there: generated over every route, method and role.

For each route that names an object, the answer about a rival's object equals the answer about one that does
not exist: status, headers that tell something, and body.
"""

import uuid
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver

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
    "api-keys": {"name": "Mine", "scopes": ["shipments:read"]},
    "driver-location": {"latitude": 1.0, "longitude": 2.0},
    "driver-device-keys": {"name": "Phone"},
}  # fmt: skip


def routes(*, all_of_them: bool = False) -> list[tuple[str, tuple[str, ...]]]:
    """Return the name and the parameters of every route that names an object, or of every route."""
    found = []
    pending = [pattern for each in (urls, export_urls) for pattern in get_resolver(each).url_patterns]
    while pending:
        pattern = pending.pop()
        if isinstance(pattern, URLPattern):
            if all_of_them or set(pattern.pattern.converters) - {"extension"}:
                found.append((str(pattern.name), tuple(pattern.pattern.converters)))
        else:
            pending.extend(pattern.url_patterns)
    return sorted(found)


ROUTES = routes()


FILE = ImportTable("csv", "", ["Reference"], 0, b"")


class OneOfEverything:
    """One of everything, in another organisation unless told."""

    def __init__(self, org: Organization | None = None) -> None:
        org = org or factories.organization("Rival")
        self.by: Subject = factories.member(org, "admin")
        driver = factories.driver(org)
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
            "driver_id": driver.pk,
            "customer_id": factories.customer(org).pk,
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
    "flag": "damaged",
    "kind": "bol",
}


@pytest.fixture
def rival_organization(db: None) -> OneOfEverything:
    return OneOfEverything()


def call_route(
    api: Api, method: str, name: str, parameters: tuple[str, ...], names: dict[str, Any]
) -> dict[str, Any]:
    """Call a route and return what its answer tells, without what tells the request itself."""
    from django.urls import reverse  # the root URLconf is loaded by now

    path = reverse(name, kwargs={parameter: names[parameter] for parameter in parameters})
    if method in {"post", "patch"}:
        answer = getattr(api, method)(path, BODIES.get(name, {}), if_match="*")
    else:
        answer = getattr(api, method)(path)
    body = answer.json() if answer.content else {}
    body_without_ids = {key: value for key, value in body.items() if key not in {"instance", "requestId"}}
    headers = {
        header: answer.get(header) for header in ("ETag", "Location", "Allow", "Content-Type", "X-Freight-Seq")
    }
    return {"status": answer.status_code, "body": body_without_ids, "headers": headers}


def test_the_routes_that_name_objects_are_known() -> None:
    assert {parameter for _, parameters in ROUTES for parameter in parameters} == set(MISSING)
    assert len(ROUTES) >= 13


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize(("name", "parameters"), ROUTES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rivals_object_and_a_missing_one_answer_alike(
    rival_organization: OneOfEverything, house: Organization, role: str, name: str, parameters: tuple[str, ...]
) -> None:
    api = Api(factories.member(house, role))

    for method in METHODS:
        theirs = call_route(api, method, name, parameters, rival_organization.names)
        nobodys = call_route(api, method, name, parameters, MISSING)

        assert (method, theirs) == (method, nobodys)
        assert theirs["status"] in {403, 404, 405}


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("parameter", ["driverId", "customerId"])
def test_a_list_narrowed_by_a_rivals_object_is_empty(
    rival_organization: OneOfEverything, house: Organization, role: str, parameter: str
) -> None:
    key = rival_organization.names["driver_id" if parameter == "driverId" else "customer_id"]

    answer = Api(factories.member(house, role)).get("/api/shipments", {parameter: str(key)})

    assert answer.json()["results"] == []


@pytest.mark.parametrize("field", ["driverId", "customerId"])
def test_a_rivals_driver_or_customer_cannot_be_used(
    rival_organization: OneOfEverything, api: Api, field: str
) -> None:
    theirs = rival_organization.names["driver_id" if field == "driverId" else "customer_id"]
    booking = {"origin": "NLRTM", "destination": "DEHAM"}

    refused = api.post("/api/shipments", booking | {field: str(theirs)})
    missing = api.post("/api/shipments", booking | {field: str(uuid.UUID(int=7))})

    assert refused.status_code == 400
    assert refused.json()["errors"] == missing.json()["errors"]


@pytest.mark.parametrize("role", Role.values)
def test_no_list_holds_anything_of_a_rivals(
    rival_organization: OneOfEverything, house: Organization, role: str
) -> None:
    api = Api(factories.member(house, role))
    strange = [str(value) for value in rival_organization.names.values() if not isinstance(value, str)] + ["THEIRS"]

    for path in ("shipments", "drivers", "customers", "events", "audit-log", "auth/api-keys"):
        told = api.get(f"/api/{path}").content.decode()

        assert [name for name in strange if name in told] == []


# -- those who are no members -----------------------------------------------------------------------------

# All that whoever follows a link may do, by a ticket on a socket too; whatever route comes, it is none of these.
FOLLOWED = {("shipment", "get"), ("shipment-events", "get"), ("ws-ticket", "post")}
# They ask nobody who it is, or in another way.
OPEN = {"login", "refresh", "schema", "docs", "osmand"}
# A link is no login, and a stranger manages no keys: these change and tell nothing.
HARMLESS = {("logout", "post"), ("api-keys", "get")}


def phone(house: Organization) -> Subject:
    """Return the subject of a driver's phone."""
    by, driver = factories.member(house, "dispatcher"), factories.driver(house)
    _, secret = device_keys.create(by=by, now=NOW, driver_id=driver.pk, name="Phone")
    subject = bearers.authenticate_device(secret, now=NOW)
    assert subject is not None
    return subject


def follower(house: Organization) -> Subject:
    """Return the subject of a tracking link."""
    by = factories.member(house, "dispatcher")
    return factories.tracking_link_subject(by, factories.booked_shipment(by).reference)


@pytest.mark.parametrize("made", [phone, follower])
def test_to_a_phone_or_a_link_a_rivals_object_and_a_missing_one_are_alike(
    rival_organization: OneOfEverything, house: Organization, made: Any
) -> None:
    api = Api(made(house))

    for name, parameters in ROUTES:
        for method in METHODS:
            theirs = call_route(api, method, name, parameters, rival_organization.names)
            nobodys = call_route(api, method, name, parameters, MISSING)

            assert (name, method, theirs) == (name, method, nobodys)
            assert theirs["status"] in {403, 404, 405}


def allowed(api: Api, names: dict[str, Any]) -> set[tuple[str, str]]:
    """Try every method of every route and return what was not refused."""
    found = set()
    for name, parameters in routes(all_of_them=True):
        for method in METHODS:
            if name not in OPEN and call_route(api, method, name, parameters, names)["status"] not in {
                403,
                404,
                405,
            }:
                found.add((name, method))
    return found


def test_a_link_opens_its_shipment_and_its_log_and_nothing_else(house: Organization) -> None:
    """Everything here belongs to the very shipment that the link opens."""
    own = OneOfEverything(house)
    api = Api(factories.tracking_link_subject(own.by, "THEIRS"))

    assert allowed(api, own.names) == FOLLOWED | HARMLESS
    assert api.get("/api/auth/api-keys").json()["results"] == []


def test_a_phones_key_opens_nothing_but_its_drivers_position(house: Organization) -> None:
    subject = phone(house)
    names = OneOfEverything(house).names | {"driver_id": subject.driver_id}

    assert allowed(Api(subject), names) == {("driver-location", "post")} | HARMLESS


def test_a_link_opens_no_other_shipment(house: Organization) -> None:
    by = factories.member(house, "dispatcher")
    mine, other = factories.booked_shipment(by).reference, factories.booked_shipment(by).reference

    api = Api(factories.tracking_link_subject(by, mine))

    assert api.get(f"/api/shipments/{mine}").status_code == 200
    assert api.get(f"/api/shipments/{other}").json()["detail"] == "There is no such shipment."
    assert api.get(f"/api/shipments/{other}/events").status_code == 404
