"""Bodies of errors: `type` is the path of an explanation, `/api/problems/<code>`."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from monitoring.problems.registry import PROBLEM_TYPES, ProblemType

CONTENT_TYPE: Final = "application/problem+json"
# For errors of the framework that have only a status.
_CODE_BY_STATUS: Final[Mapping[int, str]] = {
    400: "malformed_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 413: "body_too_large", 415: "unsupported_media_type", 429: "rate_limited",
    503: "unavailable",
}  # fmt: skip


def code_for(status: int, code: str = "") -> str:
    """Return the code of an error: `code` where it is registered, else the general one of the status."""
    return code if code in PROBLEM_TYPES else _CODE_BY_STATUS.get(status, "internal_error")


def problem(code: str, detail: str = "", *, status: int | None = None, **members: Any) -> dict[str, Any]:
    """Return the body of a problem, without `instance` and `requestId`; `detail` is the meaning where left out."""
    kind = PROBLEM_TYPES[code]
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status if status is None else status,
        "code": code,
        "detail": detail or kind.meaning,
    } | members


def markdown_table(kinds: Iterable[ProblemType]) -> str:
    """Return the table of docs/rest.md."""
    rows = [f"| `{each.code}` | {each.status} | {each.meaning} | {each.remedy} |" for each in kinds]
    return "\n".join(["| code | status | meaning | what to do |", "|---|---|---|---|", *rows])
