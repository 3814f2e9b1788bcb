"""OpenAPI schemas of background exports."""

from typing import Final

from exports.models import Export
from exports.reports import format_registry
from exports.reports.definitions import REPORTS
from exports.response_schemas import (
    COUNT,
    ID,
    INSTANT,
    NULLABLE_COUNT,
    NULLABLE_INSTANT,
    NULLABLE_TEXT,
    TEXT,
    array_schema,
    object_schema,
)

EXPORT_REQUEST: Final = {
    "title": "ExportOrderRequest",
    "type": "object",
    "required": ["report", "format"],
    "additionalProperties": False,
    "properties": {
        "report": {"type": "string", "enum": list(REPORTS)},
        "format": {"type": "string", "enum": list(format_registry.names())},
        "filters": {
            "type": "object",
            "description": "The query parameters of the report, each a text, a number or a list of them.",
            "additionalProperties": {"anyOf": [TEXT, {"type": "integer"}, array_schema(TEXT)]},
        },
        "fields": {**array_schema(TEXT), "minItems": 1},
    },
}
EXPORT: Final = object_schema(
    {
        "id": ID,
        "report": TEXT,
        "format": TEXT,
        "filters": {"type": "object", "additionalProperties": TEXT},
        "fields": {"type": ["array", "null"], "items": TEXT},
        "state": {"type": "string", "enum": list(Export.State.values)},
        "progress": object_schema({"done": COUNT, "total": NULLABLE_COUNT}, "ExportProgress"),
        "createdAt": INSTANT,
        "startedAt": NULLABLE_INSTANT,
        "finishedAt": NULLABLE_INSTANT,
        "expiresAt": NULLABLE_INSTANT,
        "size": NULLABLE_COUNT,
        "sha256": NULLABLE_TEXT,
        "error": NULLABLE_TEXT,
        "file": {**NULLABLE_TEXT, "description": "The path of the file; null until it is written."},
    },
    "Export",
)
EXPORTS: Final = object_schema({"results": array_schema(EXPORT)}, "ExportList")
