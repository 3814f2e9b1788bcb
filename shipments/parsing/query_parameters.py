"""Query parameters, declared once for lists and reports, and parsed strictly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import QueryDict

from shipments.parsing.values import InvalidValue

DATE_TIME_SCHEMA: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
UUID_SCHEMA: Final[dict[str, Any]] = {"type": "string", "format": "uuid"}
STRING_SCHEMA: Final[dict[str, Any]] = {"type": "string"}

FieldError = dict[str, str]


class InvalidFields(Exception):
    """Invalid values, each as `{field, code, message}` in `errors`."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("Some values cannot be used.")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: how its text is parsed, and how its value filters rows.

    `apply_filter(rows, value)` must not decide by the value (but by the length of a list), since its SQL is
    compiled once for all values. With `runs_queries` it may, and may run queries of its own.
    """

    parse: Callable[[str], Any]
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: STRING_SCHEMA)
    apply_filter: Callable[[Any, Any], Any] | None = None
    runs_queries: bool = False
    # Of a parameter that stands for many, as `reference.po` does: return that with another word behind the dot.
    sibling: Callable[[str], "Parameter | None"] | None = None


def field_error(field: str, code: str, message: str) -> FieldError:
    """Return one entry of `errors`."""
    return {"field": field, "code": code, "message": message}


def enum_schema(choices: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON schema of a choice."""
    return {"type": "string", "enum": list(choices)}


def find_parameter(declared: Mapping[str, Parameter], name: str) -> Parameter | None:
    """Return the parameter of this name, None where there is none. A declared one may stand for many."""
    if name in declared:
        return declared[name]
    head, _, word = name.partition(".")
    for other, parameter in declared.items():
        if word and parameter.sibling is not None and other.partition(".")[0] == head:
            return parameter.sibling(word)
    return None


def parse_parameters(query: QueryDict, declared: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the values by name; raises InvalidFields with every parameter that is unknown, repeated or invalid."""
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, texts in query.lists():
        parameter = find_parameter(declared, name)
        if parameter is None:
            errors.append(field_error(name[:64], "unknown_parameter", "There is no such parameter."))
        elif len(texts) > 1:
            errors.append(field_error(name, "repeated", "This parameter stands twice."))
        elif "\0" in texts[0]:
            errors.append(field_error(name, "invalid", "The value holds the character NUL."))
        else:
            try:
                values[name] = parameter.parse(texts[0])
            except InvalidValue as error:
                errors.append(field_error(name, "invalid", str(error)))
    if errors:
        raise InvalidFields(errors)
    return values


def apply_filters(rows: Any, values: Mapping[str, Any], declared: Mapping[str, Parameter]) -> Any:
    """Return the rows filtered by the values."""
    for name, value in values.items():
        parameter = find_parameter(declared, name)
        if parameter is not None and parameter.apply_filter is not None:
            rows = parameter.apply_filter(rows, value)
    return rows
