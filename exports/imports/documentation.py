"""The schema's words on imports."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from exports import documentation
from exports.imports.applying import OUTCOMES
from exports.models import Import
from shipments.selectors.parameters import Parameter

CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_BINARY: Final = {"type": "string", "format": "binary"}
FILES: Final = {
    "multipart/form-data": {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": _BINARY},
    },
    CSV: _TEXT,
    XLSX: _BINARY,
}


def _all_of(members: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": dict(members)}


def _list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_PROBLEM: Final = _all_of({"column": _TEXT, "code": _TEXT, "message": _TEXT})
_ROW: Final = _all_of(
    {
        "row": {
            "type": "integer",
            "minimum": 1,
            "description": "Its number in the file, as a spreadsheet shows it.",
        },
        "reference": _TEXT,
        "outcome": {"type": "string", "enum": list(OUTCOMES)},
        "changed": {**_list_of(_TEXT), "description": "The columns that make a difference."},
        "errors": _list_of(_PROBLEM),
        "warnings": _list_of(_PROBLEM),
    }
)
_ROWS: Final = {
    "rows": _list_of(_ROW),
    "next": {"type": ["integer", "null"], "description": "Give it as `after` for the entries that follow."},
}
_FILE: Final = {
    "counts": _all_of(dict.fromkeys(OUTCOMES, _COUNT)),
    "filename": _TEXT,
    "format": {"type": "string", "enum": ["csv", "xlsx"]},
    "size": _COUNT,
    "sha256": _TEXT,
    "columns": _list_of(_TEXT),
}
_STATES: Final = [state for state in Import.State.values if state != Import.State.EXPIRED]
_IMPORT: Final = {
    "id": {"type": "string", "format": "uuid"},
    "dryRun": {"type": "boolean", "enum": [False]},
    "state": {"type": "string", "enum": _STATES},
    "progress": _all_of({"done": _COUNT, "total": _COUNT}),
    **_FILE,
    "createdAt": {"type": "string", "format": "date-time"},
    "startedAt": _TIME,
    "finishedAt": _TIME,
    "error": {"type": ["string", "null"]},
}
IMPORT: Final = _all_of(_IMPORT | _ROWS)
IMPORTS: Final = _all_of({"results": _list_of(_all_of(_IMPORT))})
TRIAL: Final = _all_of({"dryRun": {"type": "boolean", "enum": [True]}, "total": _COUNT} | _FILE | _ROWS)
_MEANINGS: Final = {
    400: "The file cannot be read, or its columns cannot be used; `errors` says why.",
    403: "The caller may not book shipments.",
    413: "The file is larger than files may be.",
    415: "It is neither a form nor CSV nor XLSX.",
    429: "The rate limit is used up, or two imports of the caller's are under way; see Retry-After.",
}


def problems(*statuses: int) -> dict[Any, OpenApiResponse]:
    """This will return the refusals of an operation."""
    found = documentation.problems(*statuses)
    for (status, _), response in found.items():
        response.description = _MEANINGS.get(status, response.description)
    return found


def parameters(known: Mapping[str, Parameter]) -> list[OpenApiParameter]:
    """This will return the parameters of an operation."""
    return [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in known.items()
    ]
