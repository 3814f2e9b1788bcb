"""Imports over HTTP: dry run, create, list, read the report, cancel."""

import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

from django.db import connection
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exports import concurrency_limit
from exports.file_imports import columns, import_jobs, openapi, row_processing, table
from exports.file_imports.openapi import problem_responses
from exports.file_imports.parsers import CSVParser, MultipartFileParser, Upload, XLSXParser, upload_from_form
from exports.file_imports.row_processing import COUNTERS, DRY_RUN_CHUNK_ROWS, OUTCOMES, ChunkReader
from exports.file_imports.table import ImportTable
from exports.models import Import
from monitoring import clock
from shipments.auth.subjects import Subject
from shipments.intake import RowResult
from shipments.parsing import query_parameters
from shipments.parsing import values as texts
from shipments.parsing.query_parameters import InvalidFields, Parameter, field_error

_DEFAULT_PAGE_SIZE: Final = 200


def _parse_boolean(text: str) -> bool:
    return texts.choice(("true", "false", "1", "0"))(text) in {"true", "1"}


_PAGE_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "after": Parameter(
        texts.whole_number(0, 10**9), "Entries of rows after this one.", {"type": "integer", "minimum": 0}
    ),
    "limit": Parameter(
        texts.whole_number(0, import_jobs.MAX_PAGE_SIZE),
        f"The maximum number of entries. Default: {_DEFAULT_PAGE_SIZE}.",
        {"type": "integer", "minimum": 0, "maximum": import_jobs.MAX_PAGE_SIZE},
    ),
    "outcome": Parameter(
        texts.choice(OUTCOMES), "Only entries with this outcome.", query_parameters.enum_schema(OUTCOMES)
    ),
    "warned": Parameter(
        _parse_boolean, "`true`: only entries with warnings; `false`: only those without.", {"type": "boolean"}
    ),
}
_DRY_RUN_PARAMETER: Final = Parameter(
    _parse_boolean,
    "`true`: report what would happen to each row and change nothing.",
    {"type": "boolean"},
)
_IMPORT_PARAMETERS: Final = {"dryRun": _DRY_RUN_PARAMETER, **_PAGE_PARAMETERS}
_dry_run_limit: Final = concurrency_limit.ConcurrencyLimit(
    3, share=2, max_waiting=4, timeout=concurrency_limit.TIMEOUT_SECONDS
)


class ShipmentImportView(APIView):
    """Imports of shipments from a CSV or XLSX."""

    parser_classes = [MultipartFileParser, CSVParser, XLSXParser]
    rate_policies = ("export",)

    @extend_schema(
        operation_id="importShipments",
        tags=["imports"],
        request=openapi.FILE_REQUEST,
        parameters=[
            OpenApiParameter(
                "Location",
                str,
                OpenApiParameter.HEADER,
                response=[202],
                description="The path of the import.",
            ),
            *openapi.query_parameters(_IMPORT_PARAMETERS),
        ],
        responses={
            200: OpenApiResponse(openapi.DRY_RUN, description="What would happen to each row."),
            202: OpenApiResponse(openapi.IMPORT, description="It is queued."),
            **problem_responses(400, 401, 403, 413, 415, 429, 503),
        },
    )
    def post(self, request: Request) -> Response:
        """Book and amend shipments from a CSV or XLSX, idempotent by reference; at most two imports at a time.

        The columns are those of the export, by label or field name in any case; an empty cell changes nothing.
        Each row is validated by itself. `after`, `limit`, `outcome` and `warned` choose the
        entries of a dry run.
        """
        subject = _require_importer(request)
        values = query_parameters.parse_parameters(request.GET, _IMPORT_PARAMETERS)
        upload = _get_upload(request)
        if not connection.in_atomic_block:
            connection.close()  # parsing takes seconds and needs no connection
        import_table = table.read(upload.raw, tenant=subject.organization_id)
        if values.pop("dryRun", False):
            return Response(
                _dry_run(import_table, subject, values)
                | {"filename": upload.filename[:120], "size": len(upload.raw)}
            )
        import_job = import_jobs.create(
            by=subject, now=clock.now(), table=import_table, filename=upload.filename, size=len(upload.raw)
        )
        location = reverse("import", kwargs={"import_id": import_job.pk})
        return Response(_serialize(import_job, []), status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class ImportListView(APIView):
    """The caller's imports."""

    @extend_schema(
        operation_id="listImports",
        tags=["imports"],
        responses={200: OpenApiResponse(openapi.IMPORTS), **problem_responses(401, 403, 429, 503)},
    )
    def get(self, request: Request) -> Response:
        """List the caller's own imports, newest first, at most 50; without their rows."""
        return Response(
            {"results": [import_jobs.serialize(each) for each in import_jobs.list_own(_require_importer(request))]}
        )


class ImportDetailView(APIView):
    """One import."""

    @extend_schema(
        operation_id="getImport",
        tags=["imports"],
        parameters=openapi.query_parameters(_PAGE_PARAMETERS),
        responses={200: OpenApiResponse(openapi.IMPORT), **problem_responses(400, 401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, import_id: uuid.UUID) -> Response:
        """Return the state of the import and a page of its report; `next` is the next `after`."""
        subject = _require_importer(request)
        values = query_parameters.parse_parameters(request.GET, _PAGE_PARAMETERS)
        import_job = import_jobs.get_own(subject, import_id)
        if import_job is None:
            raise Http404
        limit = values.get("limit", _DEFAULT_PAGE_SIZE)
        rows = import_jobs.list_rows(
            import_job, after=values.get("after", 0), limit=limit, outcome=values.get("outcome"),
            warned=values.get("warned"),
        )  # fmt: skip
        return Response(_serialize(import_job, rows, full=len(rows) == limit))

    @extend_schema(
        operation_id="cancelImport",
        tags=["imports"],
        responses={
            204: OpenApiResponse(description="It is cancelled or was finished."),
            **problem_responses(401, 403, 404, 429, 503),
        },
    )
    def delete(self, request: Request, import_id: uuid.UUID) -> Response:
        """Cancel the import; applied rows stay. Idempotent, also after its end."""
        if not import_jobs.cancel(by=_require_importer(request), now=clock.now(), import_id=import_id):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def _require_importer(request: Request) -> Subject:
    subject = cast("Subject", request.auth)  # ensured by IsMember
    subject.require("shipments:write")
    return subject


def _get_upload(request: Request) -> Upload:
    """Return the uploaded file; raises InvalidFields, JsonTooLarge."""
    data = request.data
    if isinstance(data, Upload):
        return data
    if request.content_type.startswith("multipart/"):
        # With session authentication the CSRF check has parsed the form already.
        django_request = request._request  # noqa: SLF001  DRF has no public name for the wrapped request
        return upload_from_form(django_request.POST, django_request.FILES)
    # A request without a body has no content type, and no parser ran.
    raise InvalidFields([field_error("file", "required", "Send a CSV or XLSX.")])


def _serialize(import_job: Import, rows: list[dict[str, Any]], *, full: bool = False) -> dict[str, Any]:
    return import_jobs.serialize(import_job) | {"rows": rows, "next": rows[-1]["row"] if full and rows else None}


def _dry_run(import_table: ImportTable, subject: Subject, values: Mapping[str, Any]) -> dict[str, Any]:
    """Validate every row and return the counts and a page of results; raises InvalidFields, ServerBusy."""
    column_map = columns.match_header(import_table.header)
    row_reader = ChunkReader(column_map, decimal_marks=import_table.decimal_marks)
    counts = dict.fromkeys(COUNTERS, 0)
    rows: list[dict[str, Any]] = []
    limit = values.get("limit", _DEFAULT_PAGE_SIZE)
    release = _dry_run_limit.acquire(subject.organization_id)
    try:
        for chunk in row_reader.chunks(import_table.rows(), DRY_RUN_CHUNK_ROWS):
            results = row_processing.dry_run_chunk(by=subject, now=clock.now(), chunk=chunk)
            for name, count in row_processing.count_outcomes(results).items():
                counts[name] += count
            rows += [
                row_processing.serialize_result(each, column_map) for each in results if _is_on_page(each, values)
            ][: limit - len(rows)]
    finally:
        release()
    warned = counts.pop("warned")
    return {
        "dryRun": True,
        "counts": counts,
        "warned": warned,
        "total": import_table.count,
        "format": import_table.kind,
        "sha256": import_table.sha256,
        "columns": import_table.header,
        "rows": rows,
        "next": rows[-1]["row"] if rows and len(rows) == limit else None,
    }


def _is_on_page(result: RowResult, values: Mapping[str, Any]) -> bool:
    """Tell whether the query of a dry run names this row; `limit` is not looked at."""
    return (
        result.row > values.get("after", 0)
        and values.get("outcome") in {None, result.outcome}
        and values.get("warned") in {None, bool(result.warnings)}
    )
