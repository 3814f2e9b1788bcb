"""Every error bears a code, and a type that leads to its explanation."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.urls import get_resolver
from rest_framework.exceptions import APIException

from monitoring.problems.registry import PROBLEM_TYPES
from ratelimits.middleware import refusal
from shipments.auth.subjects import Subject
from tests import factories
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[4]


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_the_type_of_a_problem_leads_to_its_explanation(code: str) -> None:
    response = Api(None).get(PROBLEM_TYPES[code].type)

    assert response.status_code == 200
    assert response.json() == {"type": f"/api/problems/{code}", **PROBLEM_TYPES[code]._asdict()}


def test_all_problems_are_listed_and_others_are_not_found() -> None:
    listed = Api(None).get("/api/problems").json()["results"]

    assert [each["code"] for each in listed] == list(PROBLEM_TYPES)
    assert Api(None).get("/api/problems/nothing").json()["code"] == "not_found"


def test_every_exception_of_ours_has_a_code_of_its_status() -> None:
    get_resolver("freight.urls").url_patterns  # noqa: B018  imports every view
    own = [each for each in subclasses(APIException) if not each.__module__.startswith("rest_framework")]

    assert len(own) >= 9
    assert {each: (each.default_code, each.status_code) for each in own} == {
        each: (each.default_code, PROBLEM_TYPES[each.default_code].status) for each in own
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("get", "/api/nothing", None, "unknown_path"),
        ("get", "/api/shipments/NONE", None, "not_found"),
        ("get", "/api/shipments?limit=x", None, "validation_error"),
        ("post", "/api/shipments", b"{", "malformed_json"),
        ("post", "/api/shipments", {}, "validation_error"),
        ("post", "/api/shipments/{reference}", {}, "method_not_allowed"),
        ("patch", "/api/shipments/{reference}", {}, "precondition_required"),
        ("post", "/api/shipments/{reference}/transitions", {"to": "delivered"}, "illegal_transition"),
        ("delete", "/api/shipments/{reference}", None, "not_a_draft"),
    ],
)
def test_an_error_bears_its_code(
    api: Api, dispatcher: Subject, method: str, path: str, body: Any, code: str
) -> None:
    shipment = factories.booked_shipment(dispatcher)
    arguments = [] if body is None else [body]

    response = getattr(api, method)(path.format(reference=shipment.reference), *arguments)

    problem = response.json()
    kind = PROBLEM_TYPES[code]
    assert (problem["code"], problem["type"], problem["title"]) == (code, kind.type, kind.title)
    assert problem["status"] == response.status_code == kind.status


def test_an_item_of_a_bulk_request_bears_its_code(api: Api) -> None:
    body = api.post("/api/shipments/bulk", {"items": [{"op": "update", "reference": "NONE"}]}).json()

    assert body["results"][0]["problem"]["code"] == "not_found"


def test_a_refusal_of_the_limiter_bears_its_code(rf: Any) -> None:
    body = orjson.loads(refusal(rf.get("/api/shipments"), 7).content)

    assert (body["code"], body["type"]) == ("rate_limited", "/api/problems/rate_limited")


def test_a_key_without_the_scope_is_told_which_one(dispatcher: Subject) -> None:
    key = Api(replace(dispatcher, scopes=frozenset({"shipments:read"})))

    response = key.post("/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"})

    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert response.json()["scope"] == "shipments:write"
    assert response["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="shipments:write"'


def test_a_scope_with_another_name_than_its_permission_is_named(dispatcher: Subject) -> None:
    shipment = factories.booked_shipment(dispatcher)
    key = Api(replace(dispatcher, scopes=frozenset({"exports:read"})))

    assert key.get(f"/api/shipments/{shipment.reference}").json()["scope"] == "shipments:read"


@pytest.mark.parametrize("scopes", [None, frozenset({"shipments:read", "shipments:write"})])
def test_a_role_that_may_not_is_told_no_scope(organization: Any, scopes: Any) -> None:
    auditor = replace(factories.member(organization, "auditor"), scopes=scopes)

    response = Api(auditor).post("/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"})

    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert "WWW-Authenticate" not in response


def test_keys_are_made_by_people(dispatcher: Subject) -> None:
    key = Api(replace(dispatcher, scopes=frozenset({"shipments:write"})))

    assert key.get("/api/auth/api-keys").json()["code"] == "person_required"


def test_the_proxy_answers_with_registered_codes() -> None:
    text = (ROOT / "deploy/nginx/freight.conf").read_text()
    bodies = [orjson.loads(body.replace("$status", "503")) for body in re.findall(r"'(\{\"type\".*\})'", text)]

    assert len(bodies) == 2
    assert all(
        (PROBLEM_TYPES[each["code"]].type, each["title"]) == (each["type"], PROBLEM_TYPES[each["code"]].title)
        for each in bodies
    )
