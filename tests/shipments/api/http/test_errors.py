"""Errors are problem+json everywhere below /api/, and disclose no internals."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import RequestFactory
from psycopg_pool import PoolTimeout

from freight import urls
from monitoring.health import monitor
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
def test_unknown_paths_are_404(api: Api, path: str) -> None:
    body = problem(api.get(path), 404)

    assert body["code"] == "unknown_path"


def test_a_problem_has_the_request_id_and_the_path(api: Api) -> None:
    response = api.get("/api/nothing", X_Request_ID="my-request-1")

    assert (response.json()["requestId"], response.json()["instance"]) == ("my-request-1", "/api/nothing")
    assert response["X-Request-ID"] == "my-request-1"


def test_a_problem_of_a_view_has_the_request_id_too(api: Api) -> None:
    response = api.get("/api/shipments/NONE", X_Request_ID="my-request-2")

    assert problem(response, 404)["requestId"] == "my-request-2"
    assert response.json()["instance"] == "/api/shipments/NONE"


def test_an_unsupported_method_is_405(api: Api) -> None:
    response = api.post("/api/shipments/X-1", {})

    problem(response, 405)
    assert response["Allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"


def test_an_unacceptable_media_type_is_406(api: Api) -> None:
    problem(api.get("/api/shipments", Accept="application/xml"), 406)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_any_acceptable_media_type_gets_json(api: Api, accept: str) -> None:
    assert api.get("/api/shipments", Accept=accept)["Content-Type"] == "application/json"


def test_anonymous_requests_are_401(db: None) -> None:
    response = Api(None).get("/api/shipments")

    problem(response, 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="freight"'


@pytest.mark.parametrize("token", ["x", "frt_x", "a.b.c", "", "é"])
def test_invalid_credentials_are_401(db: None, token: str) -> None:
    problem(Api(None).get("/api/shipments", Authorization=f"Bearer {token}"), 401)


def test_an_api_key_is_limited_to_its_scopes(dispatcher: Subject) -> None:
    key = Api(replace(dispatcher, scopes=frozenset({"exports:read"})))

    problem(key.get("/api/shipments"), 403)


def test_an_unavailable_database_is_503_with_retry_after(api: Api, dispatcher: Subject) -> None:
    with pytest.raises(OperationalError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1")
        cursor.execute("SELECT pg_sleep(1)")

    response = errors.exception_handler(error.value, {"request": RequestFactory().get("/api/shipments")})

    assert response is not None
    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert "statement" not in str(response.data)


@pytest.fixture
def locked_error(db: None) -> OperationalError:
    """Return the error of a lock that another connection holds."""
    other = connection.copy()
    try:
        with transaction.atomic(), connection.cursor() as cursor, other.cursor() as holder:
            holder.execute("SELECT pg_advisory_lock(4711)")
            cursor.execute("SET LOCAL lock_timeout = 1")
            cursor.execute("SELECT pg_advisory_lock(4711)")
    except OperationalError as error:
        return error
    finally:
        other.close()
    raise AssertionError("The lock was free.")


def test_a_lock_has_a_problem_of_its_own(locked_error: OperationalError) -> None:
    response = errors.exception_handler(locked_error, {"request": RequestFactory().get("/api/shipments")})

    assert response is not None
    assert (response.status_code, response["Retry-After"], response.data["code"]) == (503, "2", "locked")
    assert response.data["detail"] == "Somebody else is changing this; try again."


@pytest.mark.parametrize(("path", "kind"), [("/api/shipments", "application/problem+json"), ("/", "text/html")])
def test_a_lock_outside_of_a_view_and_on_a_page_is_503_too(
    locked_error: OperationalError, path: str, kind: str
) -> None:
    try:
        raise locked_error
    except OperationalError:
        response = urls.handler500(RequestFactory().get(path))

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert response["Content-Type"].startswith(kind)
    assert b"Somebody else is changing this; try again." in response.content


@pytest.mark.parametrize(
    ("database_error", "code"), [(None, "busy"), ("does not answer", "unavailable")], ids=["in use", "away"]
)
def test_an_exhausted_pool_is_told_from_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch, database_error: str | None, code: str
) -> None:
    monkeypatch.setattr(monitor, "dependency_errors", lambda: {"database": database_error})
    error = OperationalError("couldn't get a connection after 4.00 sec")
    error.__cause__ = PoolTimeout(str(error))

    body = errors.problem_of(error)

    assert body is not None
    assert (body["status"], body["code"]) == (503, code)


def test_a_404_outside_the_api_is_html() -> None:
    response = urls.handler404(RequestFactory().get("/nothing"), Exception())

    assert response["Content-Type"].startswith("text/html")


def test_an_unexpected_error_discloses_nothing() -> None:
    with contextlib.suppress(ZeroDivisionError):
        try:
            raise ZeroDivisionError("division by zero")
        finally:
            response = urls.handler500(RequestFactory().get("/api/shipments"))

    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert b"division" not in response.content
