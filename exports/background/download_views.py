"""GET /api/exports/{id}/file: the file of a background export, with range requests."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
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
from exports.reports.views import IgnoreClientContentNegotiation
from exports.response_schemas import problem_responses
from monitoring import clock
from shipments import intake
from shipments.auth.subjects import Subject

_UNAVAILABLE: Final = "The database does not answer; or the file is not on the server that answers: see `detail`."


class FileNotReady(APIException):
    """The export is not finished, or ended without a file: 409."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "file_not_ready"


class FileExpired(APIException):
    """The file was removed, by its owner or after `EXPORT_KEEP`: 410."""

    status_code = status.HTTP_410_GONE
    default_code = "file_expired"
    default_detail = "The file has expired and was removed; order the export again."


class FileMissing(APIException):
    """The file is not in `EXPORT_DIR` of this host, though it should be: 503."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "file_missing"
    default_detail = (
        "The export is finished, but its file is not on the server that answers; another one may have it."
        " Try again, or order the export anew. If it stays so, tell the operators: servers must share EXPORT_DIR."
    )


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
                description="One range of bytes, such as `bytes=1048576-`; anything else is ignored.",
            ),
            OpenApiParameter(
                "If-Range",
                str,
                OpenApiParameter.HEADER,
                description="The ETag of the file of which the caller has the first part.",
            ),
            OpenApiParameter(
                "If-None-Match",
                str,
                OpenApiParameter.HEADER,
                description="The ETag of a file that the caller has; 304 where it is this one.",
            ),
        ],
        responses={
            (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, description="The file."),
            (206, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, description="A part of it."),
            304: OpenApiResponse(description="The caller has this file."),
            416: OpenApiResponse(description="The range begins after the end of the file."),
            **problem_responses(401, 403, 404, 409, 410, 429, 503, descriptions={503: _UNAVAILABLE}),
        },
    )
    def get(self, request: Request, export_id: uuid.UUID) -> HttpResponseBase:
        """Download the file, or a range of it. A download from the first byte is audited."""
        subject = require_exporter(request)
        export = get_export_or_404(request, export_id)
        path = _file_path(export)
        if _client_has(request, export):
            return HttpResponse(status=304, headers=_cache_headers(export))
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
            connection.close()  # the request lasts until its body is sent
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
        "X-Freight-Rows": str(export.total),
        **_cache_headers(export),
        "X-Accel-Buffering": "no",
    }
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{export.size}"
    for header, value in headers.items():
        response[header] = value
    return response


def _file_path(export: Export) -> Path:
    """Return the path of the file; raises FileNotReady, FileExpired, FileMissing."""
    if export.state == Export.State.EXPIRED:
        raise FileExpired
    if export.state != Export.State.SUCCEEDED:
        raise FileNotReady(f"The export is {export.state}; it has no file.")
    path = file_store.path_of(export.file)
    if path.is_file():
        return path
    export.refresh_from_db(fields=["state"])
    raise FileExpired if export.state == Export.State.EXPIRED else FileMissing


def _client_has(request: Request, export: Export) -> bool:
    """Return whether `If-None-Match` names this file; it counts before `Range` (RFC 9110, 13.2.2)."""
    tags = [tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))]
    return "*" in tags or _cache_headers(export)["ETag"] in tags


def _cache_headers(export: Export) -> dict[str, str]:
    return {"ETag": f'"{export.sha256}"', "Cache-Control": "private, no-cache"}


def _if_range_mismatch(request: Request, export: Export) -> bool:
    """Return whether `If-Range` names another file (RFC 9110, 13.1.5)."""
    if_range = request.headers.get("If-Range")
    return if_range is not None and if_range != f'"{export.sha256}"'


def _record_download(subject: Subject, export: Export) -> None:
    """Audit the download."""
    intake.record_audit(
        by=subject, now=clock.now(), action="download", entity="export", entity_id=export.pk,
        after={"report": export.report, "format": export.format, "rows": export.total, "bytes": export.size},
        outcome="done",
    )  # fmt: skip
