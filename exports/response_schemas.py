"""Building blocks of this app's OpenAPI schema: JSON types and problem responses."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiResponse

TEXT: Final = {"type": "string"}
NULLABLE_TEXT: Final = {"type": ["string", "null"]}
ID: Final = {"type": "string", "format": "uuid"}
INSTANT: Final = {"type": "string", "format": "date-time"}
NULLABLE_INSTANT: Final = {"type": ["string", "null"], "format": "date-time"}
COUNT: Final = {"type": "integer", "minimum": 0}
NULLABLE_COUNT: Final = {"type": ["integer", "null"], "minimum": 0}
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_PROBLEM_DESCRIPTIONS: Final = {
    400: "A parameter is unknown or invalid; `errors` says which.",
    401: "The credentials are missing or invalid.",
    403: "The caller may not export this.",
    404: "It does not exist, or belongs to another user or organisation.",
    409: "The export has no file.",
    410: "The file was removed.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not plain JSON.",
    429: "The rate limit is used up, or the server runs as many exports as it may; see Retry-After.",
    503: "The database does not answer, see Retry-After; or PDFs cannot be drawn here, `detail` says why.",
}


def object_schema(members: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Return the schema of an object whose members are all required; a name makes it one of the components."""
    schema = {"type": "object", "required": list(members), "properties": dict(members)}
    return {"title": name, **schema} if name else schema


def array_schema(items: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an array."""
    return {"type": "array", "items": dict(items)}


def problem_responses(*statuses: int, descriptions: Mapping[int, str] | None = None) -> dict[Any, OpenApiResponse]:
    """Return the problem responses of an operation; `descriptions` replaces the texts of some statuses."""
    texts = _PROBLEM_DESCRIPTIONS | dict(descriptions or {})
    return {
        (status, "application/problem+json"): OpenApiResponse(_PROBLEM, description=texts[status])
        for status in statuses
    }
