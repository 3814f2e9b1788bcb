"""Background exports over HTTP: create, list, get, cancel."""

import uuid
from typing import Any, Final, cast

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exports.background import export_jobs, openapi
from exports.models import Export
from exports.reports import report_query
from exports.response_schemas import problem_responses
from monitoring import clock
from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import FieldError, InvalidFields, field_error

_MEMBERS: Final = frozenset({"report", "format", "filters", "fields"})
_REQUIRED: Final = frozenset({"report", "format"})
_MAX_FILTER_LENGTH: Final = 2000
_FILTER_MESSAGE: Final = "Give a text, a number or a list of them."


class ExportListView(APIView):
    """The caller's background exports."""

    rate_policies: tuple[str, ...] = ("export",)

    def get_throttles(self) -> list[Any]:
        """Count only POST against the export policy."""
        if self.request.method != "POST":
            self.rate_policies = ()
        return super().get_throttles()

    @extend_schema(
        operation_id="listExports",
        tags=["exports"],
        responses={200: OpenApiResponse(openapi.EXPORTS), **problem_responses(401, 403, 429, 503)},
    )
    def get(self, request: Request) -> Response:
        """List the caller's own background exports, newest first, at most 50."""
        return Response(
            {"results": [serialize_export(export) for export in export_jobs.list_own(require_exporter(request))]}
        )

    @extend_schema(
        operation_id="orderExport",
        tags=["exports"],
        request={"application/json": openapi.EXPORT_REQUEST},
        parameters=[
            OpenApiParameter(
                "Location",
                str,
                OpenApiParameter.HEADER,
                response=[202],
                description="The path of the export.",
            )
        ],
        responses={
            202: OpenApiResponse(openapi.EXPORT, description="It is queued."),
            **problem_responses(400, 401, 403, 413, 415, 429, 503),
        },
    )
    def post(self, request: Request) -> Response:
        """Order an export in the background; a user may have two unfinished ones."""
        subject = require_exporter(request)
        arguments = _parse_request(request.data)
        export = export_jobs.create(by=subject, now=clock.now(), **arguments)
        location = reverse("export", kwargs={"export_id": export.pk})
        return Response(serialize_export(export), status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class ExportDetailView(APIView):
    """One background export."""

    @extend_schema(
        operation_id="getExport",
        tags=["exports"],
        responses={200: OpenApiResponse(openapi.EXPORT), **problem_responses(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, export_id: uuid.UUID) -> Response:
        """Return the state and progress of the export."""
        return Response(serialize_export(get_export_or_404(request, export_id)))

    @extend_schema(
        operation_id="cancelExport",
        tags=["exports"],
        responses={
            204: OpenApiResponse(description="It is cancelled, or its file is removed."),
            **problem_responses(401, 403, 404, 429, 503),
        },
    )
    def delete(self, request: Request, export_id: uuid.UUID) -> Response:
        """Cancel the export, or remove its file where it is finished. Idempotent."""
        if not export_jobs.cancel(by=require_exporter(request), now=clock.now(), export_id=export_id):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def require_exporter(request: Request) -> Subject:
    """Return the request's subject; raises Forbidden where it may not export."""
    subject = cast("Subject", request.auth)  # ensured by IsMember
    subject.require("exports:read")
    return subject


def get_export_or_404(request: Request, export_id: uuid.UUID) -> Export:
    """Return one of the caller's own exports; raises Forbidden, Http404."""
    export = export_jobs.get_own(require_exporter(request), export_id)
    if export is None:
        raise Http404
    return export


def serialize_export(export: Export) -> dict[str, Any]:
    """Return the JSON of an export, with the path of its file where it has one."""
    has_file = export.state == Export.State.SUCCEEDED
    file = reverse("export-file", kwargs={"export_id": export.pk}) if has_file else None
    return export_jobs.serialize(export) | {"file": file}


def _parse_request(body: Any) -> dict[str, Any]:
    """Return report, format and filters of a request body; raises InvalidFields with all errors."""
    if not isinstance(body, dict):
        raise report_query.parameter_error("", "invalid", "Give an object.")
    unknown, missing = set(body) - _MEMBERS, {name for name in _REQUIRED if not isinstance(body.get(name), str)}
    errors = [field_error(str(name)[:64], "unknown_field", "There is no such member.") for name in sorted(unknown)]
    errors += [field_error(name, "required", "Give a text.") for name in sorted(missing)]
    filters = _parse_filters(body.get("filters"), errors)
    fields = body.get("fields")
    if isinstance(fields, list) and fields and all(isinstance(name, str) and "," not in name for name in fields):
        filters["fields"] = ",".join(fields)
    elif fields is not None:
        errors.append(field_error("fields", "invalid", "Give a list of the names of columns."))
    if errors:
        raise InvalidFields(errors)
    return {"report": body["report"], "file_format": body["format"], "filters": filters}


def _parse_filters(raw_filters: Any, errors: list[FieldError]) -> dict[str, str]:
    """Return the filters as the texts of query parameters; appends what is invalid to `errors`."""
    if raw_filters is None:
        return {}
    if not isinstance(raw_filters, dict):
        errors.append(field_error("filters", "invalid", "Give an object."))
        return {}
    texts: dict[str, str] = {}
    for name, value in raw_filters.items():
        parts = value if isinstance(value, list) else [value]
        is_plain = bool(parts) and all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts)
        text = ",".join(map(str, parts)) if is_plain else ""
        if not is_plain or len(text) > _MAX_FILTER_LENGTH or name == "fields" or "\0" in text:
            errors.append(field_error(f"filters.{name[:64]}", "invalid", _FILTER_MESSAGE))
        else:
            texts[name] = text
    return texts
