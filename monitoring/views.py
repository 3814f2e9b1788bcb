"""Metrics over HTTP, for METRICS_ALLOWED_NETWORKS and for staff: its keys with the scope `metrics:read`."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from prometheus_client.exposition import choose_encoder
from rest_framework.exceptions import APIException, NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring.addresses import is_within
from monitoring.health import endpoints, monitor, processes
from monitoring.prometheus import collectors
from monitoring.reports import json_reports, response_schemas
from monitoring.runtime import hosts

_registry = collectors.build_registry(
    hosts.recent_samples, monitor.dependency_errors, processes.ProcessCountCollector()
)


class InternalView(APIView):
    """An endpoint for METRICS_ALLOWED_NETWORKS and the permission `metrics:read`; others get 404."""

    permission_classes = (AllowAny,)
    throttle_classes = ()

    def perform_authentication(self, request: Request) -> None:
        """Authenticate only callers from other networks: metrics must work without the database."""
        if is_within(request.META, settings.METRICS_ALLOWED_NETWORKS):
            return
        subject: Any = request.auth
        if subject is None or not subject.has_permission("metrics:read"):
            raise NotFound

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: FBT001, FBT002  the signature of the framework
        """Leave Accept to the exposition format, which has more types than our renderers."""
        return super().perform_content_negotiation(request, force=True)

    def handle_exception(self, exc: Exception) -> Response:
        """Answer 404 for bad credentials, as for none."""
        is_auth_error = isinstance(exc, APIException) and exc.status_code in {401, 403}
        return super().handle_exception(NotFound() if is_auth_error else exc)


class DetailedHealthView(InternalView):
    """Detailed health for a key; METRICS_ALLOWED_NETWORKS are answered before Django."""

    @extend_schema(
        operation_id="healthDetailed", responses=response_schemas.DETAILED_HEALTH_RESPONSES, tags=["operations"]
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the status of each dependency; 503 where the whole is unhealthy."""
        query = request.META.get("QUERY_STRING", "")
        status, body = endpoints.detailed_response(request.path.rstrip("/"), query)
        return _json(body, status)


class BriefHealthView(InternalView):
    """The status of each dependency in one word."""

    @extend_schema(
        operation_id="metricsHealth", responses=response_schemas.BRIEF_HEALTH_RESPONSES, tags=["operations"]
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the status of each dependency in short."""
        status, body = endpoints.detailed_response(request.path.rstrip("/"))
        return _json(body, status)


class ReportView(InternalView):
    """One JSON report over all processes."""

    name = ""

    def get(self, request: Request) -> HttpResponse:
        """Return the report."""
        try:
            return _json(json_reports.render(self.name, staff=_is_staff(request)))
        except KeyError:
            raise NotFound from None


def _is_staff(request: Request) -> bool:
    """Tell whether the request bears credentials of staff; without any nobody is asked who it is."""
    if "HTTP_AUTHORIZATION" not in request.META:
        return False
    subject: Any = request.auth
    return bool(subject is not None and subject.has_permission("metrics:read"))


def report_view(name: str) -> type[ReportView]:
    """Return the view of a report, with its schema and example."""
    schema = extend_schema(
        operation_id=f"metrics{name.capitalize()}",
        description=response_schemas.DESCRIPTIONS[name],
        responses=response_schemas.REPORT_RESPONSES[name],
        examples=[OpenApiExample(name, value=response_schemas.EXAMPLES[name])],
        tags=["operations"],
    )
    view = type(
        f"{name.capitalize()}ReportView",
        (ReportView,),
        {"name": name, "__doc__": response_schemas.DESCRIPTIONS[name]},
    )
    return extend_schema_view(get=schema)(view)


def _json(body: Mapping[str, Any], status: int = 200) -> HttpResponse:
    return HttpResponse(
        orjson.dumps(body), status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )


class MetricsView(InternalView):
    """The metrics of every process of this host."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Return Prometheus text, or OpenMetrics where Accept prefers it."""
        encode, content_type = choose_encoder(request.META.get("HTTP_ACCEPT", ""))
        return HttpResponse(encode(_registry), content_type=content_type)
