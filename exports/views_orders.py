"""Background exports: order one, see how far it is, take its file, cancel it."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, cast

from django.db import connection
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exports import asking, documentation, files, formats, orders
from exports.documentation import EXPORT, ORDER, problems
from exports.models import Export
from exports.views import PathDecides
from shipments import intake
from shipments.access import Subject
from shipments.selectors.parameters import FieldError, Invalid, field_error

_MEMBERS: Final = frozenset({"report", "format", "filters", "fields"})
_TEXTS: Final = frozenset({"report", "format"})
_LONGEST: Final = 2000
_PLAIN: Final = "Give a text, a number or a list of them."


class NotReady(APIException):
    """The export has no file yet, or will have none."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "not_ready"


class Gone(APIException):
    """The file was removed."""

    status_code = status.HTTP_410_GONE
    default_code = "expired"
    default_detail = "The file was kept for its time and then removed; order the export again."


class OrdersView(APIView):
    """The caller's background exports."""

    rate_policies: tuple[str, ...] = ("export",)

    def get_throttles(self) -> list[Any]:
        """This will count orders and not looks at them as exports."""
        if self.request.method != "POST":
            self.rate_policies = ()
        return super().get_throttles()

    @extend_schema(
        operation_id="listExports",
        tags=["exports"],
        responses={200: OpenApiResponse(documentation.EXPORTS), **problems(401, 403, 429, 503)},
    )
    def get(self, request: Request) -> Response:
        """List the caller's own background exports, newest first, at most 50."""
        return Response({"results": [shown(export) for export in orders.of(_exporter(request))]})

    @extend_schema(
        operation_id="orderExport",
        tags=["exports"],
        request={"application/json": ORDER},
        parameters=[
            OpenApiParameter(
                "Location",
                str,
                OpenApiParameter.HEADER,
                response=[202],
                description="Where the export is looked at.",
            )
        ],
        responses={
            202: OpenApiResponse(EXPORT, description="It is queued."),
            **problems(400, 401, 403, 413, 415, 429, 503),
        },
    )
    def post(self, request: Request) -> Response:
        """Order an export in the background: at most two at a time for one user."""
        subject = _exporter(request)
        asked = _read(request.data)
        export = orders.order(by=subject, now=timezone.now(), **asked)
        location = reverse("export", kwargs={"export_id": export.pk})
        return Response(shown(export), status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class OrderView(APIView):
    """One background export."""

    @extend_schema(
        operation_id="getExport",
        tags=["exports"],
        responses={200: OpenApiResponse(EXPORT), **problems(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, export_id: uuid.UUID) -> Response:
        """Show how far the export is."""
        return Response(shown(_found(request, export_id)))

    @extend_schema(
        operation_id="cancelExport",
        tags=["exports"],
        responses={204: OpenApiResponse(description="It is no more."), **problems(401, 403, 404, 429, 503)},
    )
    def delete(self, request: Request, export_id: uuid.UUID) -> Response:
        """Cancel the export, or remove its file where it is finished. Again is no error."""
        if not orders.cancel(by=_exporter(request), now=timezone.now(), export_id=export_id):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


class FileView(APIView):
    """The file of a finished export."""

    content_negotiation_class = PathDecides

    @extend_schema(
        operation_id="getExportFile",
        tags=["exports"],
        parameters=[
            OpenApiParameter(
                "Range",
                str,
                OpenApiParameter.HEADER,
                description="One range of bytes, such as `bytes=1048576-`; others are ignored.",
            ),
            OpenApiParameter(
                "If-Range",
                str,
                OpenApiParameter.HEADER,
                description="The ETag of the file whose first part the caller has.",
            ),
        ],
        responses={
            (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, description="The file."),
            (206, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, description="A part of it."),
            416: OpenApiResponse(description="The range lies behind the end of the file."),
            **problems(401, 403, 404, 409, 410, 429, 503),
        },
    )
    def get(self, request: Request, export_id: uuid.UUID) -> HttpResponseBase:
        """Download the file, or a part of it."""
        subject = _exporter(request)
        export = _found(request, export_id)
        path = _path(export)
        whole = _whole(request, export)
        try:
            span = None if whole else files.span(request.headers.get("Range", ""), export.size or 0)
        except files.Unsatisfiable:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{export.size}"})
        start, end = span or (0, export.size or 0)
        if start == 0:
            _note(subject, export)
        if not connection.in_atomic_block:
            connection.close()  # the request ends only when its body does
        return _sent(export, path, start, end, partial=span is not None)


def _sent(export: Export, path: Path, start: int, end: int, *, partial: bool) -> HttpResponseBase:
    kind = formats.named(export.format)
    blocks: AsyncIterator[bytes] = files.read(path, start, end)
    response = StreamingHttpResponse(
        blocks,
        status=206 if partial else 200,
        content_type=kind.content_type if kind else "application/octet-stream",
    )
    name = f"{export.report}-{export.created_at:%Y%m%d-%H%M%S}.{export.format}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
        "ETag": f'"{export.sha256}"',
        "X-Freight-Rows": str(export.total),
        "Cache-Control": "private, no-cache",
        "X-Accel-Buffering": "no",
    }
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{export.size}"
    for header, value in headers.items():
        response[header] = value
    return response


def _path(export: Export) -> Path:
    """This will return where the file lies; raises NotReady, Gone."""
    if export.state == Export.State.EXPIRED:
        raise Gone
    if export.state != Export.State.SUCCEEDED:
        raise NotReady(f"The export is {export.state}; it has no file.")
    path = files.path_of(export.file)
    if not path.is_file():
        raise Gone
    return path


def _whole(request: Request, export: Export) -> bool:
    """This will tell whether the caller's first part is of another file."""
    known = request.headers.get("If-Range")
    return known is not None and known != f'"{export.sha256}"'


def _note(subject: Subject, export: Export) -> None:
    """This will write into the audit that somebody takes the file."""
    intake.record_audit(
        by=subject, now=timezone.now(), action="download", entity="export", entity_id=export.pk,
        after={"report": export.report, "format": export.format, "rows": export.total, "bytes": export.size},
        outcome="done",
    )  # fmt: skip


def _exporter(request: Request) -> Subject:
    subject = cast("Subject", request.auth)  # IsMember has seen to it
    subject.require("exports:read")
    return subject


def _found(request: Request, export_id: uuid.UUID) -> Export:
    export = orders.find(_exporter(request), export_id)
    if export is None:
        raise Http404
    return export


def shown(export: Export) -> dict[str, Any]:
    """This will return the JSON of an export, with the address of its file where it has one."""
    ready = export.state == Export.State.SUCCEEDED
    file = reverse("export-file", kwargs={"export_id": export.pk}) if ready else None
    return orders.shown(export) | {"file": file}


def _read(body: Any) -> dict[str, Any]:
    """This will return report, format and filters of an order; raises Invalid with all that cannot be used."""
    if not isinstance(body, dict):
        raise asking.refuse("", "invalid", "Give an object.")
    unknown, missing = set(body) - _MEMBERS, {name for name in _TEXTS if not isinstance(body.get(name), str)}
    errors = [field_error(str(name)[:64], "unknown_field", "There is no such member.") for name in sorted(unknown)]
    errors += [field_error(name, "required", "Give a text.") for name in sorted(missing)]
    filters = _filters(body.get("filters"), errors)
    named = body.get("fields")
    if isinstance(named, list) and named and all(isinstance(name, str) and "," not in name for name in named):
        filters["fields"] = ",".join(named)
    elif named is not None:
        errors.append(field_error("fields", "invalid", "Give a list of the names of columns."))
    if errors:
        raise Invalid(errors)
    return {"report": body["report"], "format": body["format"], "filters": filters}


def _filters(given: Any, errors: list[FieldError]) -> dict[str, str]:
    """This will return the filters as texts, as they would stand in a URL."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        errors.append(field_error("filters", "invalid", "Give an object."))
        return {}
    texts: dict[str, str] = {}
    for name, value in given.items():
        parts = value if isinstance(value, list) else [value]
        plain = bool(parts) and all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts)
        text = ",".join(map(str, parts)) if plain else ""
        if not plain or len(text) > _LONGEST or name == "fields" or "\0" in text:
            errors.append(
                field_error(f"filters.{name[:64]}", "invalid", "Give a text, a number or a list of them.")
            )
        else:
            texts[name] = text
    return texts
