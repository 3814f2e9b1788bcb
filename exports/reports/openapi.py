"""OpenAPI descriptions of the report views."""

from typing import Any, Final, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from exports.reports import format_registry, report_query
from exports.reports.definitions import Report
from exports.response_schemas import problem_responses

_View = TypeVar("_View")
_ROWS_HEADER: Final = OpenApiParameter(
    "X-Freight-Rows", int, OpenApiParameter.HEADER, response=[200],
    description="The number of rows, counted in the same snapshot.",
)  # fmt: skip
_ROWS_AS_JSON: Final = {
    "type": "array",
    "items": {"title": "ReportRow", "type": "object", "additionalProperties": True},
}
_FILE_DESCRIPTION: Final = "The file. Where reading fails, it breaks off without the last chunk."


def document_view(report: Report, view: type[_View]) -> type[_View]:
    """Return the view with the OpenAPI description of its report."""
    return _document_view(
        report, view, f"export{report.name.title()}",
        f"Export the report `{report.name}` ({report.title.lower()}): the rows that the caller may see.",
    )  # fmt: skip


def document_legacy_view(report: Report, view: type[_View]) -> type[_View]:
    """Return the view at the older path with its OpenAPI description."""
    return _document_view(
        report, view, f"export{report.name.title()}OlderPath",
        f"The same as `/exports/{report.name}.…`, at its path in the system before this one.",
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
