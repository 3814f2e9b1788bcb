"""Which requests the fast path answers: a program's plain read of one shipment or of a page of shipments."""

import re
from typing import Any, Final

from shipments.domain.identifiers import is_valid_reference

LIST_PATH: Final = "/api/shipments"
_ACCEPTED: Final = re.compile(rb"\*/\*|application/(\*|json)")
# Headers that make a request Django's: sessions, CORS, partial content.
_INELIGIBLE_HEADERS: Final = frozenset({b"origin", b"cookie", b"range", b"x-http-method-override"})
# A search runs several queries, some of them slow, and would block one of the few threads.
_SEARCHES: Final = re.compile(rb"(^|&)q=")


class NotEligible(Exception):
    """The request is left to Django."""


def reference_of(path: str) -> str:
    """Return the reference in the path of a shipment, "" for the path of the list."""
    return path[len(LIST_PATH) + 1 :]


def is_eligible(scope: dict[str, Any]) -> bool:
    """Tell whether an ASGI scope is a plain read by a bearer token."""
    path = scope["path"]
    if scope["method"] != "GET" or not path.startswith(LIST_PATH):
        return False
    reference = reference_of(path)
    if path != LIST_PATH and (
        path[len(LIST_PATH)] != "/" or not is_valid_reference(reference) or scope["query_string"]
    ):
        return False
    if _SEARCHES.search(scope["query_string"]):
        return False
    names = [name for name, _ in scope["headers"]]
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"*/*")
    headers_eligible = (
        not _INELIGIBLE_HEADERS.intersection(names)
        and names.count(b"authorization") == 1
        and names.count(b"host") == 1
    )
    return headers_eligible and bool(_ACCEPTED.search(accept))
