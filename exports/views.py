"""Reports as files, streamed while they are read."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from asgiref.sync import async_to_sync
from django.db import connection
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from exports import csv, filters
from exports.record import Record
from exports.tables import SHIPMENTS
from shipments.access import Subject

_View = TypeVar("_View", bound=Callable[..., Any])
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_MEANINGS: Final = {
    400: "A parameter is unknown or cannot be used; `errors` says which.",
    401: "Nobody is recognised.",
    403: "The caller may not export.",
    429: "The rate limit is used up; see Retry-After.",
    503: "The database does not answer just now; see Retry-After.",
}
_ROWS: Final = OpenApiParameter(
    "X-Freight-Rows", int, OpenApiParameter.HEADER, response=[200],
    description="The number of rows, counted in the snapshot from which they come.",
)  # fmt: skip


class PathDecides(BaseContentNegotiation):
    """The path names the format; Accept is not asked. Problems are JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """This will take the first parser: nothing is posted."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """This will take the first renderer, which writes problems only."""
        return renderers[0], renderers[0].media_type


def _schema(operation_id: str) -> Callable[[_View], _View]:
    refusals = {
        (status, "application/problem+json"): OpenApiResponse(_PROBLEM, description=meaning)
        for status, meaning in _MEANINGS.items()
    }
    return extend_schema(
        operation_id=operation_id,
        parameters=[*filters.described(), _ROWS],
        responses={
            (200, "text/csv"): OpenApiResponse(
                OpenApiTypes.STR, description="The file. It breaks off without its last chunk where reading fails."
            ),
            **refusals,
        },
    )


class ShipmentsCsvView(APIView):
    """The report `shipments` as CSV."""

    http_method_names = ["get", "options"]  # a HEAD would read every row for nothing
    content_negotiation_class = PathDecides

    @_schema("exportShipmentsCsv")
    def get(self, request: Request) -> HttpResponseBase:
        """Export the shipments that the caller may see, newest first."""
        return _streamed(request)


class ShipmentsCsvOldPathView(ShipmentsCsvView):
    """The same at the path that it had in the system before."""

    @_schema("exportShipmentsCsvOldPath")
    def get(self, request: Request) -> HttpResponseBase:
        """Export the shipments that the caller may see, newest first: the same as `/exports/shipments.csv`."""
        return _streamed(request)


def _streamed(request: Request) -> HttpResponseBase:
    subject = cast("Subject", request.auth)  # IsMember has seen to it
    subject.require(SHIPMENTS.permission)
    narrowing = filters.read(request.GET)
    reading = async_to_sync(SHIPMENTS.open)(subject, narrowing)
    asked = {name: str(text) for name, text in request.GET.items()}
    record = Record(by=subject, report=SHIPMENTS.name, format="csv", filters=asked, rows=reading.count)
    if not connection.in_atomic_block:
        connection.close()  # the request ends only when its body does
    response = StreamingHttpResponse(
        record.followed(csv.blocks(SHIPMENTS.columns, reading)), content_type=csv.CONTENT_TYPE
    )
    for name, value in _headers(f"{SHIPMENTS.name}-{timezone.now():%Y%m%d-%H%M%S}.csv", reading.count).items():
        response[name] = value
    return response


def _headers(filename: str, count: int) -> dict[str, str]:
    return {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Freight-Rows": str(count),
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
    }
