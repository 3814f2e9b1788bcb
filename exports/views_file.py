"""The file of a background export: whole, or the rest of it."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from exports import files, formats
from exports.documentation import problems
from exports.models import Export
from exports.views import PathDecides
from exports.views_orders import exporter, found
from shipments import intake
from shipments.access import Subject


class NotReady(APIException):
    """The export has no file yet, or will have none."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "not_ready"


class Gone(APIException):
    """The file was removed."""

    status_code = status.HTTP_410_GONE
    default_code = "expired"
    default_detail = "The file was kept for its time and then removed; order the export again."


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
        subject = exporter(request)
        export = found(request, export_id)
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
