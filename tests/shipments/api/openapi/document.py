"""The OpenAPI document, by operation."""

from collections.abc import Iterator
from typing import Any

from drf_spectacular.generators import SchemaGenerator

Json = dict[str, Any]
DOCUMENT: Json = SchemaGenerator().get_schema(request=None, public=True)
# Path, method and description of each operation.
OPERATIONS: dict[str, tuple[str, str, Json]] = {
    operation["operationId"]: (path, method, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
# The authors of phones' apps decide what these send.
PHONES = {"reportByTrackerBody"}


def request_schemas() -> Iterator[tuple[str, str, Json]]:
    """Yield operation, media type and schema of each body of a request."""
    for name, (_, _, operation) in OPERATIONS.items():
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            yield name, kind, media["schema"]
