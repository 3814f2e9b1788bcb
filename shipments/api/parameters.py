"""Query parameters: declared once, read strictly, and told to the schema."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter

from shipments.api.errors import FieldError, Invalid, field_error
from shipments.api.texts import Unreadable, one_of, up_to, whole

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50

INSTANT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
IDENTIFIER: Final[dict[str, Any]] = {"type": "string", "format": "uuid"}
TEXT: Final[dict[str, Any]] = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: how its text is read and what a list does with the value."""

    read: Callable[[str], Any]
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: TEXT)
    narrow: Callable[[Any, Any], Any] | None = None


def words(options: tuple[str, ...]) -> dict[str, Any]:
    """This will return the schema of one of the words."""
    return {"type": "string", "enum": list(options)}


def paging(orders: tuple[str, ...], default: str) -> dict[str, Parameter]:
    """This will return the parameters of every list."""
    return {
        "ordering": Parameter(
            one_of(orders), f"The order; `-` turns it round. Default `{default}`.", words(orders)
        ),
        "limit": Parameter(
            whole(1, MAX_LIMIT),
            f"The most results of a page. Default {DEFAULT_LIMIT}.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        ),
        "cursor": Parameter(
            up_to(2000),
            "Where the page begins: taken from `next` or `previous`, together with the same filters and ordering.",
        ),
    }


def read(query: QueryDict, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """This will return the values by name; raises Invalid with every parameter that cannot be used."""
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, texts in query.lists():
        parameter = known.get(name)
        if parameter is None:
            errors.append(field_error(name[:64], "unknown_parameter", "There is no such parameter."))
        elif len(texts) > 1:
            errors.append(field_error(name, "repeated", "This parameter stands twice."))
        elif "\0" in texts[0]:
            errors.append(field_error(name, "invalid", "The value holds the character NUL."))
        else:
            try:
                values[name] = parameter.read(texts[0])
            except Unreadable as error:
                errors.append(field_error(name, "invalid", str(error)))
    if errors:
        raise Invalid(errors)
    return values


def described(known: Mapping[str, Parameter]) -> list[OpenApiParameter]:
    """This will return the parameters as the schema lists them."""
    return [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in known.items()
    ]
