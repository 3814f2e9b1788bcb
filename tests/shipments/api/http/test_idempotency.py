"""Idempotency-Key: a repeated request has its effect once."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from shipments.models import IdempotencyKey, Organization, Shipment, ShipmentEvent
from shipments.services import idempotency
from tests import factories
from tests.shipments.api.client import Api, field_errors
from tests.shipments.api.routes import api_routes, filled

pytestmark = pytest.mark.django_db
PATH = "/api/shipments"
BOOKING = {"origin": "NLRTM", "destination": "DEHAM"}


def post(api: Api, key: str, body: Any = BOOKING, path: str = PATH) -> Any:
    return api.post(path, body, Idempotency_Key=key)


def test_a_repeated_booking_books_once_and_replays_the_response(api: Api, organization: Organization) -> None:
    first, again = post(api, "k1"), post(api, "k1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    for name in ("ETag", "Location", "Content-Type", "Cache-Control"):
        assert again[name] == first[name]
    assert ("Idempotency-Replayed" in first, again["Idempotency-Replayed"]) == (False, "true")
    assert Shipment.objects.of_organization(organization.pk).count() == 1


def test_without_a_key_every_request_books(api: Api, organization: Organization) -> None:
    api.post(PATH, BOOKING)
    api.post(PATH, BOOKING)

    assert Shipment.objects.of_organization(organization.pk).count() == 2
    assert not IdempotencyKey.objects.filter(organization=organization).exists()


def test_a_replay_returns_the_stored_response_after_later_changes(api: Api, dispatcher: Any) -> None:
    shipment = factories.booked_shipment(dispatcher)
    path = f"{PATH}/{shipment.reference}/transitions"
    first = post(api, "go", {"to": "dispatched"}, path)
    assert api.post(path, {"to": "at_pickup"}).status_code == 200

    again = post(api, "go", {"to": "dispatched"}, path)

    assert (again.status_code, again.content) == (200, first.content)
    assert again.json()["status"] == "dispatched"
    assert ShipmentEvent.objects.filter(shipment=shipment).count() == 3


def test_every_write_of_a_shipment_takes_a_key(api: Api, dispatcher: Any) -> None:
    shipment = factories.booked_shipment(dispatcher, status="draft")
    path = f"{PATH}/{shipment.reference}"
    report = {
        "classifier": "ACT", "code": "XX", "codeSystem": "edi214", "occurredAt": "2026-03-01T08:00:00Z",
        "source": "t",
    }  # fmt: skip

    def twice(call: Any) -> tuple[int, int, bool]:
        first, again = call(), call()
        return first.status_code, again.status_code, first.content == again.content

    assert twice(lambda: api.post(f"{path}/checkpoints", report, Idempotency_Key="a")) == (201, 201, True)
    checkpoint = api.post(f"{path}/checkpoints", report, Idempotency_Key="a").json()["id"]
    void = f"{path}/checkpoints/{checkpoint}/void"
    assert twice(lambda: api.post(void, {"reason": "x"}, Idempotency_Key="b")) == (200, 200, True)
    assert twice(lambda: api.post(f"{path}/flags", {"flag": "on_hold"}, Idempotency_Key="c")) == (200, 200, True)
    assert twice(
        lambda: api.patch(path, {"pieces": 5}, If_Match="*", Idempotency_Key="d")
    ) == (200, 200, True)  # fmt: skip
    # The second would be 404 without its key.
    assert twice(lambda: api.delete(path, Idempotency_Key="e")) == (204, 204, True)


def test_the_key_of_another_caller_is_another_key(api: Api, organization: Organization, rival: Any) -> None:
    colleague = Api(factories.member(organization, "dispatcher"))

    references = {post(each, "k1").json()["reference"] for each in (api, colleague, Api(rival))}

    assert len(references) == 3


@pytest.mark.parametrize("body", [{**BOOKING, "pieces": 1}, b'{ "origin": "NLRTM", "destination": "DEHAM"}'])
def test_the_key_with_another_body_is_refused(api: Api, body: Any) -> None:
    post(api, "k1")

    response = post(api, "k1", body)

    assert (response.status_code, response.json()["code"]) == (422, "key_reused")


def test_the_key_with_another_path_is_refused(api: Api, dispatcher: Any) -> None:
    first, second = factories.booked_shipment(dispatcher), factories.booked_shipment(dispatcher)
    post(api, "k1", {"to": "dispatched"}, f"{PATH}/{first.reference}/transitions")

    response = post(api, "k1", {"to": "dispatched"}, f"{PATH}/{second.reference}/transitions")

    assert response.status_code == 422


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "tab\tbed"])
def test_a_malformed_key_is_refused(api: Api, organization: Organization, key: str) -> None:
    response = post(api, key)

    assert response.status_code == 400
    assert field_errors(response) == [("Idempotency-Key", "invalid")]
    assert not Shipment.objects.of_organization(organization.pk).exists()


@pytest.mark.parametrize("key", ["x" * 255, "~ with spaces !", "'; DROP TABLE --", "%s%(a)s"])
def test_any_printable_ascii_is_a_key(api: Api, organization: Organization, key: str) -> None:
    post(api, key)

    assert post(api, key)["Idempotency-Replayed"] == "true"
    assert Shipment.objects.of_organization(organization.pk).count() == 1


def test_the_key_of_a_failed_request_can_be_used_again(api: Api, organization: Organization) -> None:
    refused = [post(api, "k1", {}), post(api, "k1", {**BOOKING, "customerId": str(organization.pk)})]

    response = post(api, "k1")

    assert [each.status_code for each in refused] == [400, 400]
    assert (response.status_code, "Idempotency-Replayed" in response) == (201, False)


def test_after_24_hours_a_key_can_be_used_again(api: Api, organization: Organization) -> None:
    post(api, "k1")
    IdempotencyKey.objects.update(created_at=datetime.now(UTC) - timedelta(hours=24, seconds=1))

    response = post(api, "k1", {**BOOKING, "pieces": 1})

    assert response.status_code == 201
    assert post(api, "k1", {**BOOKING, "pieces": 1}).content == response.content
    assert Shipment.objects.of_organization(organization.pk).count() == 2


def test_expired_keys_are_deleted_in_batches(api: Api, organization: Organization) -> None:
    post(api, "old")
    post(api, "young")
    now = datetime.now(UTC)
    IdempotencyKey.objects.filter(key="old").update(created_at=now - timedelta(hours=25))

    assert (idempotency.expire_batch(now=now), idempotency.expire_batch(now=now)) == (1, 0)
    assert [each.key for each in IdempotencyKey.objects.filter(organization=organization)] == ["young"]


def test_a_form_with_files_is_415(dispatcher: Any) -> None:
    response = Api(dispatcher).post(
        PATH, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
        content_type="multipart/form-data; boundary=x", Idempotency_Key="k1",
    )  # fmt: skip

    assert response.status_code == 415


@pytest.mark.parametrize("path", ["/api/drivers", "/api/customers"])
def test_writes_of_drivers_and_customers_take_a_key(api: Api, path: str) -> None:
    added = [post(api, "add", {"name": "Ana"}, path) for _ in range(2)]
    one = f"{path}/{added[0].json()['id']}"
    changed = [api.patch(one, {"name": "Ana Maria"}, Idempotency_Key="change") for _ in range(2)]
    removed = [api.delete(one, Idempotency_Key="remove") for _ in range(2)]

    assert [answer.status_code for answer in (*added, *changed, *removed)] == [201, 201, 200, 200, 204, 204]
    assert added[0].content == added[1].content
    assert changed[1]["Idempotency-Replayed"] == "true"
    assert api.get(path).json()["results"] == []


def writing_methods() -> list[tuple[str, str, bool]]:
    """Return route and method of every write of the API, and whether it remembers keys."""
    return [
        (route, method, hasattr(getattr(view.callback.view_class, method), "takes_idempotency_key"))
        for route, view in api_routes().items()
        for method in ("post", "patch", "put")
        if hasattr(getattr(view.callback, "view_class", None), method)
    ]


@pytest.mark.parametrize(("route", "method", "remembers"), writing_methods())
def test_every_write_remembers_the_key_or_refuses_it(api: Api, route: str, method: str, remembers: bool) -> None:
    response = getattr(api, method)(filled(route, uuid.uuid4()), {}, Idempotency_Key="k")

    is_refused = response.status_code == 400 and response.json().get("code") == "idempotency_unsupported"
    assert is_refused is not remembers


def test_the_schema_tells_which_writes_remember_keys() -> None:
    document = SchemaGenerator().get_schema(request=None, public=True)
    described = {
        (path, method)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "delete" and any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
    }

    assert described == {
        ("/" + re.sub("<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", route), method)
        for route, method, remembers in writing_methods()
        if remembers
    }
