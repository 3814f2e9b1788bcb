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

from exports.background import file_store
from exports.background.views import get_export_or_404, require_exporter
from exports.models import Export
from exports.reports import format_registry
from exports.reports.openapi import problem_responses
from exports.reports.views import IgnoreClientContentNegotiation
from shipments import intake
from shipments.auth.subjects import Subject


class FileNotReady(APIException):
    """The export has no file yet, or will have none."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "not_ready"


class FileExpired(APIException):
    """The file was removed."""

    status_code = status.HTTP_410_GONE
    default_code = "expired"
    default_detail = "The file was kept for its time and then removed; order the export again."


class ExportFileView(APIView):
    """The file of a finished export."""

    content_negotiation_class = IgnoreClientContentNegotiation

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
            **problem_responses(401, 403, 404, 409, 410, 429, 503),
        },
    )
    def get(self, request: Request, export_id: uuid.UUID) -> HttpResponseBase:
        """Download the file, or a part of it."""
        subject = require_exporter(request)
        export = get_export_or_404(request, export_id)
        path = _file_path(export)
        send_whole = _if_range_mismatch(request, export)
        try:
            byte_range = (
                None if send_whole else file_store.parse_range(request.headers.get("Range", ""), export.size or 0)
            )
        except file_store.RangeNotSatisfiable:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{export.size}"})
        start, end = byte_range or (0, export.size or 0)
        if start == 0:
            _record_download(subject, export)
        if not connection.in_atomic_block:
            connection.close()  # the request ends only when its body does
        return _file_response(export, path, start, end, partial=byte_range is not None)


def _file_response(export: Export, path: Path, start: int, end: int, *, partial: bool) -> HttpResponseBase:
    file_format = format_registry.get(export.format)
    blocks: AsyncIterator[bytes] = file_store.read_range(path, start, end)
    response = StreamingHttpResponse(
        blocks,
        status=206 if partial else 200,
        content_type=file_format.content_type if file_format else "application/octet-stream",
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


def _file_path(export: Export) -> Path:
    """Return where the file lies; raises NotReady, Gone."""
    if export.state == Export.State.EXPIRED:
        raise FileExpired
    if export.state != Export.State.SUCCEEDED:
        raise FileNotReady(f"The export is {export.state}; it has no file.")
    path = file_store.path_of(export.file)
    if not path.is_file():
        raise FileExpired
    return path


def _if_range_mismatch(request: Request, export: Export) -> bool:
    """Tell whether the caller's first part is of another file."""
    if_range = request.headers.get("If-Range")
    return if_range is not None and if_range != f'"{export.sha256}"'


def _record_download(subject: Subject, export: Export) -> None:
    """Write into the audit that somebody takes the file."""
    intake.record_audit(
        by=subject, now=timezone.now(), action="download", entity="export", entity_id=export.pk,
        after={"report": export.report, "format": export.format, "rows": export.total, "bytes": export.size},
        outcome="done",
    )  # fmt: skip
