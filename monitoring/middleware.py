"""The outermost middleware: gives every request its id and its caller's address, and logs one line for it."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from monitoring.addresses import client_address

_log = structlog.get_logger("monitoring.requests")
_ACCEPTED_ID: Final = re.compile(r"[\x20-\x7e]{1,64}")


class RequestContextMiddleware:
    """Names the request: `request_id` and `client_address` on it, X-Request-ID on the response, both in its logs.

    Synchronous: under ASGI the whole chain runs in the one worker thread of the request. The line holds the
    route's template and never the path or the query, in which somebody may have put a secret.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        request_id = accepted_or_new(request.META.get("HTTP_X_REQUEST_ID", ""))
        request.request_id = request_id  # type: ignore[attr-defined]
        request.client_address = client_address(request.META)  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        _log.info(
            "request",
            method=request.method,
            route=route_of(request),
            status=response.status_code,
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
            address=request.client_address,  # type: ignore[attr-defined]
            **_caller(request),
        )
        return response


def accepted_or_new(given: str) -> str:
    """This will return the id that the caller gave if it is 1–64 printable ASCII characters, else a fresh one."""
    return given if _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex


def route_of(request: HttpRequest) -> str:
    """This will return the template of the route, one of a bounded set; `unmatched` where no route answers."""
    match = request.resolver_match
    return f"/{match.route}" if match else "unmatched"


def _caller(request: HttpRequest) -> dict[str, str]:
    """This will name user and organisation, as the view's authentication left them on the request."""
    subject = getattr(request, "subject", None)
    return {
        name: str(value)
        for name, attribute in (("user", "user_id"), ("key", "key_id"), ("organization", "organization_id"))
        if (value := getattr(subject, attribute, None))
    }
