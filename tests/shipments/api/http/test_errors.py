"""Refusals are problem+json everywhere below /api/, and say nothing of the inside."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import RequestFactory

from freight import urls
from shipments.api.http import errors
from shipments.auth.subjects import Subject
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db
MEMBERS = {"type", "title", "status", "detail", "instance", "requestId"}


def problem(response: Any, status: int) -> Any:
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    body = response.json()
    assert body["status"] == status
    assert set(body) >= MEMBERS
    return body


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/", "/api/shipments/", "/api/drivers/7", "/api/%ff", "/api/a%00b"]
)
def test_unknown_paths(api: Api, path: str) -> None:
    body = problem(api.get(path), 404)

    assert body["title"] == "Not Found"


def test_it_names_the_request(api: Api) -> None:
    response = api.get("/api/nothing", X_Request_ID="my-request-1")

    assert (response.json()["requestId"], response.json()["instance"]) == ("my-request-1", "/api/nothing")
    assert response["X-Request-ID"] == "my-request-1"


def test_a_problem_of_a_view_names_the_request_too(api: Api) -> None:
    response = api.get("/api/shipments/NONE", X_Request_ID="my-request-2")

    assert problem(response, 404)["requestId"] == "my-request-2"
    assert response.json()["instance"] == "/api/shipments/NONE"


def test_wrong_methods(api: Api) -> None:
    response = api.post("/api/shipments/X-1", {})

    problem(response, 405)
    assert response["Allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"


def test_what_cannot_be_answered_in_the_wanted_form(api: Api) -> None:
    problem(api.get("/api/shipments", Accept="application/xml"), 406)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_json_is_what_everybody_gets(api: Api, accept: str) -> None:
    assert api.get("/api/shipments", Accept=accept)["Content-Type"] == "application/json"


def test_strangers(db: None) -> None:
    response = Api(None).get("/api/shipments")

    problem(response, 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="freight"'


@pytest.mark.parametrize("token", ["x", "frt_x", "a.b.c", "", "é"])
def test_bad_credentials(db: None, token: str) -> None:
    problem(Api(None).get("/api/shipments", Authorization=f"Bearer {token}"), 401)


def test_keys_are_held_to_their_scopes(dispatcher: Subject) -> None:
    key = Api(replace(dispatcher, scopes=frozenset({"exports:read"})))

    problem(key.get("/api/shipments"), 403)


def test_a_database_that_does_not_answer_asks_for_patience(api: Api, dispatcher: Subject) -> None:
    with pytest.raises(OperationalError) as refused, transaction.atomic(), connection.cursor() as cursor:
        # PostgreSQL's own refusal, the same class as a lock that is not let go.
        cursor.execute("SET LOCAL statement_timeout = 1")
        cursor.execute("SELECT pg_sleep(1)")

    response = errors.exception_handler(refused.value, {"request": RequestFactory().get("/api/shipments")})

    assert response is not None
    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert "statement" not in str(response.data)


def test_pages_outside_the_api_stay_pages() -> None:
    response = urls.handler404(RequestFactory().get("/nothing"), Exception())

    assert response["Content-Type"].startswith("text/html")


def test_what_nobody_foresaw_says_nothing_of_the_inside() -> None:
    with contextlib.suppress(ZeroDivisionError):
        try:
            1 / 0
        finally:
            response = urls.handler500(RequestFactory().get("/api/shipments"))

    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert b"division" not in response.content
