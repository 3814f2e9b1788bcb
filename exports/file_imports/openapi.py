"""The schema's words on imports."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from exports.file_imports.row_processing import OUTCOMES
from exports.models import Import
from exports.reports import openapi
from shipments.parsing.query_parameters import Parameter

CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_BINARY: Final = {"type": "string", "format": "binary"}
FILE_REQUEST: Final = {
    "multipart/form-data": {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": _BINARY},
    },
    CSV: _TEXT,
    XLSX: _BINARY,
}


def _object_schema(members: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": dict(members)}


def _array_schema(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_PROBLEM: Final = _object_schema({"column": _TEXT, "code": _TEXT, "message": _TEXT})
_ROW: Final = _object_schema(
    {
        "row": {
            "type": "integer",
            "minimum": 1,
            "description": "Its number in the file, as a spreadsheet shows it.",
        },
        "reference": _TEXT,
        "outcome": {"type": "string", "enum": list(OUTCOMES)},
        "changed": {**_array_schema(_TEXT), "description": "The columns that make a difference."},
        "errors": _array_schema(_PROBLEM),
        "warnings": _array_schema(_PROBLEM),
    }
)
_ROWS: Final = {
    "rows": _array_schema(_ROW),
    "next": {"type": ["integer", "null"], "description": "Give it as `after` for the entries that follow."},
}
_FILE: Final = {
    "counts": _object_schema(dict.fromkeys(OUTCOMES, _COUNT)),
    "filename": _TEXT,
    "format": {"type": "string", "enum": ["csv", "xlsx"]},
    "size": _COUNT,
    "sha256": _TEXT,
    "columns": _array_schema(_TEXT),
}
_STATES: Final = [state for state in Import.State.values if state != Import.State.EXPIRED]
_IMPORT: Final = {
    "id": {"type": "string", "format": "uuid"},
    "dryRun": {"type": "boolean", "enum": [False]},
    "state": {"type": "string", "enum": _STATES},
    "progress": _object_schema({"done": _COUNT, "total": _COUNT}),
    **_FILE,
    "createdAt": {"type": "string", "format": "date-time"},
    "startedAt": _TIME,
    "finishedAt": _TIME,
    "error": {"type": ["string", "null"]},
}
IMPORT: Final = _object_schema(_IMPORT | _ROWS)
IMPORTS: Final = _object_schema({"results": _array_schema(_object_schema(_IMPORT))})
DRY_RUN: Final = _object_schema({"dryRun": {"type": "boolean", "enum": [True]}, "total": _COUNT} | _FILE | _ROWS)
_PROBLEM_DESCRIPTIONS: Final = {
    400: "The file cannot be read, or its columns cannot be used; `errors` says why.",
    403: "The caller may not book shipments.",
    413: "The file is larger than files may be.",
    415: "It is neither a form nor CSV nor XLSX.",
    429: "The rate limit is used up, or two imports of the caller's are under way; see Retry-After.",
}


def problem_responses(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Return the refusals of an operation."""
    responses = openapi.problem_responses(*statuses)
    for (status, _), response in responses.items():
        response.description = _PROBLEM_DESCRIPTIONS.get(status, response.description)
    return responses


def query_parameters(definitions: Mapping[str, Parameter]) -> list[OpenApiParameter]:
    """Return the parameters of an operation."""
    return [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in definitions.items()
    ]
