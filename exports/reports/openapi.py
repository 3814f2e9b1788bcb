"""The schema's words on exports."""

from typing import Any, Final, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from exports.models import Export
from exports.reports import format_registry, report_query
from exports.reports.definitions import REPORTS, Report

_View = TypeVar("_View")
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_PROBLEM_DESCRIPTIONS: Final = {
    400: "A parameter is unknown or cannot be used; `errors` says which.",
    401: "Nobody is recognised.",
    403: "The caller may not export this.",
    404: "There is nothing of that name, or it is another's.",
    409: "The export has no file.",
    410: "The file was removed.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not plain JSON.",
    429: "The rate limit is used up, or as many exports run as one process does at once; see Retry-After.",
    503: "The database does not answer just now, see Retry-After; or PDFs cannot be drawn here, `detail` says why.",
}
_ROWS_HEADER: Final = OpenApiParameter(
    "X-Freight-Rows", int, OpenApiParameter.HEADER, response=[200],
    description="The number of rows, counted in the snapshot from which they come.",
)  # fmt: skip
_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_WHOLE: Final = {"type": ["integer", "null"], "minimum": 0}
EXPORT_REQUEST: Final = {
    "type": "object",
    "required": ["report", "format"],
    "additionalProperties": False,
    "properties": {
        "report": {"type": "string", "enum": list(REPORTS)},
        "format": {"type": "string", "enum": list(format_registry.names())},
        "filters": {
            "type": "object",
            "description": "The parameters of the report's own path, each a text, a number or a list of them.",
            "additionalProperties": {"anyOf": [_TEXT, {"type": "integer"}, {"type": "array", "items": _TEXT}]},
        },
        "fields": {"type": "array", "items": _TEXT, "minItems": 1},
    },
}
_PROGRESS: Final = {
    "type": "object",
    "required": ["done", "total"],
    "properties": {"done": {"type": "integer", "minimum": 0}, "total": _WHOLE},
}
_EXPORT_PROPERTIES: Final = {
    "id": {"type": "string", "format": "uuid"},
    "report": _TEXT,
    "format": _TEXT,
    "filters": {"type": "object", "additionalProperties": _TEXT},
    "fields": {"type": ["array", "null"], "items": _TEXT},
    "state": {"type": "string", "enum": list(Export.State.values)},
    "progress": _PROGRESS,
    "createdAt": {"type": "string", "format": "date-time"},
    "startedAt": _TIME,
    "finishedAt": _TIME,
    "expiresAt": _TIME,
    "size": _WHOLE,
    "sha256": {"type": ["string", "null"]},
    "error": {"type": ["string", "null"]},
    "file": {"type": ["string", "null"], "description": "Where the file is, once there is one."},
}
EXPORT: Final = {"type": "object", "required": list(_EXPORT_PROPERTIES), "properties": _EXPORT_PROPERTIES}
EXPORTS: Final = {
    "type": "object",
    "required": ["results"],
    "properties": {"results": {"type": "array", "items": EXPORT}},
}
_ROWS_AS_JSON: Final = {"type": "array", "items": {"type": "object"}}
_FILE_DESCRIPTION: Final = "The file. It breaks off without its last chunk where reading fails."


def problem_responses(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Return the refusals of an operation."""
    return {
        (status, "application/problem+json"): OpenApiResponse(_PROBLEM, description=_PROBLEM_DESCRIPTIONS[status])
        for status in statuses
    }


def document_view(report: Report, view: type[_View]) -> type[_View]:
    """Describe the view of a report."""
    return _document_view(
        report, view, f"export{report.name.title()}",
        f"Export the report `{report.name}` ({report.title.lower()}) of what the caller may see.",
    )  # fmt: skip


def document_legacy_view(report: Report, view: type[_View]) -> type[_View]:
    """Describe the view at the older path."""
    return _document_view(
        report, view, f"export{report.name.title()}OlderPath",
        f"The same as `/exports/{report.name}.…`, at the path that it had in the system before.",
    )  # fmt: skip


def _document_view(report: Report, view: type[_View], operation_id: str, description: str) -> type[_View]:
    parameters = [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in report_query.report_parameters(report).items()
    ]
    extension = OpenApiParameter(
        "extension", {"type": "string", "enum": list(format_registry.names())}, OpenApiParameter.PATH,
        description="The format.",
    )  # fmt: skip
    files: dict[Any, OpenApiResponse] = {
        (200, each.content_type.partition(";")[0]): OpenApiResponse(
            _body_schema(each.content_type), description=_FILE_DESCRIPTION
        )
        for each in format_registry.all_formats()
    }
    operation = extend_schema(
        operation_id=operation_id,
        description=description,
        tags=["exports"],
        parameters=[extension, *parameters, _ROWS_HEADER],
        responses=files | problem_responses(400, 401, 403, 404, 429, 503),
    )
    documented_view: type[_View] = extend_schema_view(get=operation)(view)
    return documented_view


def _body_schema(content_type: str) -> Any:
    if content_type.startswith("application/json"):
        return _ROWS_AS_JSON
    return OpenApiTypes.STR if content_type.startswith("text/") else OpenApiTypes.BINARY
