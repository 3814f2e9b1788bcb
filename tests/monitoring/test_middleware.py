"""The id of a request and its log line."""

from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from monitoring.middleware import RequestContextMiddleware


def _answer(request: HttpRequest, subject: Any = None) -> HttpResponse:
    def view(inner: HttpRequest) -> HttpResponse:
        inner.subject = subject  # type: ignore[attr-defined]  # where authentication sets it
        resolver_match: Any = SimpleNamespace(route="api/shipments/<str:reference>")
        inner.resolver_match = resolver_match
        return HttpResponse(getattr(inner, "request_id", ""))

    response = RequestContextMiddleware(view)(request)
    assert isinstance(response, HttpResponse)
    return response


@pytest.mark.parametrize("given", ["abc-123", "x" * 64, "with spaces too"])
def test_a_valid_request_id_is_echoed(given: str) -> None:
    response = _answer(RequestFactory().get("/", headers={"x-request-id": given}))

    assert response["X-Request-ID"] == given
    assert response.content.decode() == given


@pytest.mark.parametrize("given", ["", "x" * 65, "line\nbreak", "ümlaut", "tab\t"])
def test_an_invalid_request_id_is_replaced(given: str) -> None:
    response = _answer(RequestFactory().get("/", HTTP_X_REQUEST_ID=given))

    assert len(response["X-Request-ID"]) == 32


def test_the_log_line_has_route_and_caller_but_no_path_or_query() -> None:
    request = RequestFactory().get("/api/shipments/S-1?token=geheim", headers={"x-request-id": "r-1"})

    with structlog.testing.capture_logs() as lines:
        _answer(request, SimpleNamespace(user_id="u-1", organization_id="o-1"))

    assert {key: value for key, value in lines[0].items() if key != "duration_ms"} == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/api/shipments/<str:reference>",
        "status": 200,
        "address": "127.0.0.1",
        "user": "u-1",
        "organization": "o-1",
    }
