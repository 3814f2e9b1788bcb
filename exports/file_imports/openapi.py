"""OpenAPI schemas of imports."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from exports import response_schemas
from exports.file_imports.row_processing import OUTCOMES
from exports.models import Import
from exports.response_schemas import (
    COUNT,
    ID,
    INSTANT,
    NULLABLE_INSTANT,
    NULLABLE_TEXT,
    TEXT,
    array_schema,
    object_schema,
)
from shipments.parsing.query_parameters import Parameter

CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BINARY: Final = {"type": "string", "format": "binary"}
FILE_REQUEST: Final = {
    "multipart/form-data": {
        "title": "ImportFormRequest",
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": _BINARY},
    },
    CSV: TEXT,
    XLSX: _BINARY,
}


_PROBLEM: Final = object_schema({"column": TEXT, "code": TEXT, "message": TEXT}, "ImportRowProblem")
_ROW: Final = object_schema(
    {
        "row": {
            "type": "integer",
            "minimum": 1,
            "description": "Its number in the file, as a spreadsheet shows it.",
        },
        "reference": TEXT,
        "outcome": {"type": "string", "enum": list(OUTCOMES)},
        "changed": {**array_schema(TEXT), "description": "The columns whose values change."},
        "errors": {**array_schema(_PROBLEM), "description": "Why the row is not applied."},
        "warnings": {**array_schema(_PROBLEM), "description": "What is applied and should be looked at."},
    },
    "ImportRow",
)
_ROWS: Final = {
    "rows": array_schema(_ROW),
    "next": {"type": ["integer", "null"], "description": "The `after` of the next page; null on the last."},
}
_FILE: Final = {
    "counts": object_schema(dict.fromkeys(OUTCOMES, COUNT), "ImportCounts"),
    "warned": {**COUNT, "description": "The number of rows with warnings, whatever their outcome."},
    "filename": TEXT,
    "format": {"type": "string", "enum": ["csv", "xlsx"]},
    "size": COUNT,
    "sha256": TEXT,
    "columns": array_schema(TEXT),
}
_STATES: Final = [state for state in Import.State.values if state != Import.State.EXPIRED]
_IMPORT: Final = {
    "id": ID,
    "dryRun": {"type": "boolean", "enum": [False]},
    "state": {"type": "string", "enum": _STATES},
    "progress": object_schema({"done": COUNT, "total": COUNT}, "ImportProgress"),
    **_FILE,
    "createdAt": INSTANT,
    "startedAt": NULLABLE_INSTANT,
    "finishedAt": NULLABLE_INSTANT,
    "error": NULLABLE_TEXT,
}
IMPORT: Final = object_schema(_IMPORT | _ROWS, "Import")
IMPORTS: Final = object_schema({"results": array_schema(object_schema(_IMPORT, "ImportSummary"))}, "ImportList")
DRY_RUN: Final = object_schema(
    {"dryRun": {"type": "boolean", "enum": [True]}, "total": COUNT} | _FILE | _ROWS, "ImportDryRun"
)
_PROBLEM_DESCRIPTIONS: Final = {
    400: "The file cannot be read, or has unknown or missing columns; `errors` says why.",
    403: "The caller may not book shipments.",
    413: "The file is larger than `IMPORT_MAX_MB`.",
    415: "The body is neither a form nor CSV nor XLSX.",
    429: "The rate limit is used up, or the caller has two unfinished imports; see Retry-After.",
}


def problem_responses(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Return the problem responses of an operation on imports."""
    return response_schemas.problem_responses(*statuses, descriptions=_PROBLEM_DESCRIPTIONS)


def query_parameters(definitions: Mapping[str, Parameter]) -> list[OpenApiParameter]:
    """Return query parameters for `extend_schema`."""
    return [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in definitions.items()
    ]
