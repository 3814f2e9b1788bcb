"""What an export can be narrowed by: read strictly, told to the schema."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ErrorDetail, ValidationError

from shipments.selectors.rows import STATUSES, Narrowing

MOST_ROWS: Final = 10_000_000
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,9}", re.ASCII)
_TIME: Final[Mapping[str, Any]] = {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class Filter:
    """One query parameter: the field of the narrowing that it sets, and how its text is read."""

    field: str
    read: Callable[[str], Any]
    description: str
    schema: Mapping[str, Any]


def _statuses(text: str) -> tuple[str, ...]:
    found = tuple(sorted({part.strip() for part in text.split(",")}))
    unknown = [word for word in found if word not in STATUSES]
    if unknown:
        raise ValueError(f"{unknown[0][:64]!r} is unknown; give one or several of {', '.join(STATUSES)}.")
    return found


def _instant(text: str) -> datetime:
    if not _INSTANT.fullmatch(text):
        raise ValueError("Give a time as RFC 3339 with an offset, such as 2026-03-02T12:00:00Z.")
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("There is no such time.") from None
    if not 1970 <= at.year < 2200:
        raise ValueError("Give a time between the years 1970 and 2200.")
    return at


def _limit(text: str) -> int:
    number = int(text) if _WHOLE.fullmatch(text) else 0
    if not 1 <= number <= MOST_ROWS:
        raise ValueError(f"Give a whole number from 1 to {MOST_ROWS:,}.")
    return number


FILTERS: Final[Mapping[str, Filter]] = {
    "status": Filter(
        "statuses", _statuses, f"One or several of {', '.join(STATUSES)}, separated by commas.", {"type": "string"}
    ),
    "createdAfter": Filter("created_after", _instant, "Created at this time or later.", _TIME),
    "createdBefore": Filter("created_before", _instant, "Created before this time.", _TIME),
    "limit": Filter(
        "limit",
        _limit,
        "The newest so many. Without it: all.",
        {"type": "integer", "minimum": 1, "maximum": MOST_ROWS},
    ),
}


def read(asked: QueryDict) -> Narrowing:
    """This will return what was asked for; raises ValidationError with every parameter that cannot be used."""
    values: dict[str, Any] = {}
    errors: dict[str, list[ErrorDetail]] = {}
    for name, texts in asked.lists():
        known = FILTERS.get(name)
        if known is None:
            errors[name[:64]] = [ErrorDetail("There is no such parameter.", "unknown_parameter")]
        elif len(texts) > 1:
            errors[name] = [ErrorDetail("This parameter stands twice.", "repeated")]
        else:
            try:
                values[known.field] = known.read(texts[0])
            except ValueError as error:
                errors[name] = [ErrorDetail(str(error), "invalid")]
    if errors:
        raise ValidationError(errors)
    return Narrowing(**values)


def described() -> list[OpenApiParameter]:
    """This will return the parameters as the schema lists them."""
    return [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in FILTERS.items()
    ]
