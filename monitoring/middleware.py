"""The outermost middleware: gives every request its id and client address, counts it and logs one line."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final, TypeVar

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_prometheus.conf import NAMESPACE, PROMETHEUS_LATENCY_BUCKETS
from django_prometheus.middleware import Metrics, PrometheusBeforeMiddleware
from prometheus_client import Counter, Histogram

from monitoring import metrics
from monitoring.addresses import client_address, drop_forged_scheme
from monitoring.queries import query_timing
from monitoring.tracing import trace_context
from monitoring.tracing.trace_context import TraceContext

_log = structlog.get_logger("monitoring.requests")
Response = TypeVar("Response", bound=HttpResponseBase)
_ACCEPTED_ID: Final = re.compile(r"[\x20-\x7e]{1,64}")


class RequestContextMiddleware:
    """Sets `request_id` and `client_address` on the request, X-Request-ID on the response, and the log context.

    Synchronous: under ASGI the whole chain runs in the one worker thread of the request. The log line has the
    template of the route instead of path and query, which may contain a secret.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with request_context(request) as finish:
            return finish(self.get_response(request))


@contextmanager
def request_context(request: HttpRequest) -> Iterator[Callable[[Response], Response]]:
    """Set the context of the request for the block; yields a function that counts and logs the response."""
    meta = request.META
    drop_forged_scheme(meta)
    begun: TraceContext | None = getattr(request, "scope", {}).get(trace_context.SCOPE_KEY)
    with (
        trace_context.server_span("request", meta.get("HTTP_TRACEPARENT", ""), meta.get("HTTP_TRACESTATE", ""))
        if begun is None
        else nullcontext(begun)
    ) as trace:
        started = time.perf_counter()
        request_id = accept_or_generate_id(meta.get("HTTP_X_REQUEST_ID", ""))
        request.request_id = request_id  # type: ignore[attr-defined]  # our attribute
        request.client_address = client_address(meta)  # type: ignore[attr-defined]  # our attribute
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace.trace_id)
        token = query_timing.request.set(request)
        try:
            yield lambda response: _finish(request, response, time.perf_counter() - started)
        finally:
            query_timing.request.reset(token)


def _finish(request: HttpRequest, response: Response, seconds: float) -> Response:
    response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]  # our attribute
    route = route_template(request)
    metrics.observe_request(method=request.method, route=route, status=response.status_code, seconds=seconds)
    describe_request_span(request.method, route, response.status_code)
    _log.info(
        "request",
        method=metrics.method_label(request.method),
        route=route,
        status=response.status_code,
        duration_ms=round(seconds * 1000, 1),
        address=request.client_address,  # type: ignore[attr-defined]  # our attribute
        **_caller_fields(request),
    )
    return response


class _DjangoMetrics(Metrics):  # type: ignore[misc]  # the library is untyped
    """The metrics of django-prometheus about Django as a whole; those about routes are our own."""

    def register(self) -> None:
        """Declare the metrics under the names of the library."""
        names = {"requests_total": "requests", "responses_total": "responses"}
        for attribute, noun in names.items():
            metric = self.register_metric(
                Counter,
                f"django_http_{noun}_before_middlewares_total",
                f"HTTP {noun} that passed Django.",
                namespace=NAMESPACE,
            )
            setattr(self, attribute, metric)
        self.requests_latency_before = self.register_metric(
            Histogram,
            "django_http_requests_latency_including_middlewares_seconds",
            "How long Django took for a request, middleware included.",
            buckets=PROMETHEUS_LATENCY_BUCKETS,
            namespace=NAMESPACE,
        )
        self.requests_unknown_latency_before = self.register_metric(
            Counter,
            "django_http_requests_unknown_latency_including_middlewares_total",
            "Requests whose duration is not known.",
            namespace=NAMESPACE,
        )


class DjangoMetricsMiddleware(PrometheusBeforeMiddleware):  # type: ignore[misc]  # the library is untyped
    """The outer middleware of django-prometheus, with fewer metrics."""

    metrics_cls = _DjangoMetrics


def accept_or_generate_id(request_id: str) -> str:
    """Return the id of the caller if it is 1–64 printable ASCII characters, else a new one."""
    return request_id if _ACCEPTED_ID.fullmatch(request_id) else uuid.uuid4().hex


def describe_request_span(method: str | None, route: str, status: int) -> None:
    """Set the name, attributes and status of the span of a request."""
    method = metrics.method_label(method)
    trace_context.describe_span(
        f"{method} {route}",
        {"http.request.method": method, "http.route": route, "http.response.status_code": status},
        failed=status >= 500,
    )


def route_template(request: HttpRequest) -> str:
    """Return the template of the route, one of a bounded set; `unmatched` where no route matches."""
    match = request.resolver_match
    return f"/{match.route}" if match else "unmatched"


def _caller_fields(request: HttpRequest) -> dict[str, str]:
    """Return user, key and organisation of the subject that the authentication of the view set on the request."""
    subject = getattr(request, "subject", None)
    return {
        name: str(value)
        for name, attribute in (("user", "user_id"), ("key", "key_id"), ("organization", "organization_id"))
        if (value := getattr(subject, attribute, None))
    }
