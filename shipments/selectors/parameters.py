"""Query parameters: declared once, read strictly. Lists and reports take the same ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import QueryDict

from shipments.texts import Unreadable

INSTANT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
IDENTIFIER: Final[dict[str, Any]] = {"type": "string", "format": "uuid"}
TEXT: Final[dict[str, Any]] = {"type": "string"}

FieldError = dict[str, str]


class Invalid(Exception):
    """Values that cannot be used: `{field, code, message}` each."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("Some values cannot be used.")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: how its text is read, and what a list does with the value.

    `narrow` uses the value without looking at it (but for how many words there are), as its SQL is kept for others;
    with `asks` it does look, and may ask questions of its own.
    """

    read: Callable[[str], Any]
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: TEXT)
    narrow: Callable[[Any, Any], Any] | None = None
    asks: bool = False


def field_error(field: str, code: str, message: str) -> FieldError:
    """This will return one entry of `errors`."""
    return {"field": field, "code": code, "message": message}


def words(options: tuple[str, ...]) -> dict[str, Any]:
    """This will return the schema of one of the words."""
    return {"type": "string", "enum": list(options)}


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


def narrowed(rows: Any, values: Mapping[str, Any], known: Mapping[str, Parameter]) -> Any:
    """This will keep the rows that the values ask for."""
    for name, value in values.items():
        narrow = known[name].narrow
        if narrow is not None:
            rows = narrow(rows, value)
    return rows
