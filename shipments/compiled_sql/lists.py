"""Queries of lists, compiled by the ORM once for each shape and executed with other values afterwards.

Lists are read in few shapes (viewer, filters, ordering) and with ever new values, and compiling a queryset takes
longer than executing its SQL. A shape is compiled with placeholders for the values. A query whose parameters do not
hold every placeholder unchanged is compiled by the ORM each time.
"""

import uuid
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import JSONField, QuerySet

from shipments.compiled_sql import one_shipment

Row = dict[str, Any]
Values = Mapping[str, Any]
BuildQuerySet = Callable[[Values], QuerySet[Any, Row]]
_MAX_SHAPES: Final = 1024
_PLACEHOLDER_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _CompiledQuery:
    """SQL, its parameters with placeholders, the names of its columns, and readers by index for some of them."""

    sql: str
    params: tuple[Any, ...]
    columns: tuple[str, ...]
    readers: tuple[tuple[int, Callable[[Any], Any]], ...]


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """Stands for the value of this name, or for one item of it where it is a list."""

    name: str
    index: int | None = None

    def value_from(self, values: Values) -> Any:
        """Return the value that replaces the placeholder."""
        value = values[self.name]
        return value if self.index is None else value[self.index]


class _NotCompilable(Exception):
    """A value of this type has no placeholder."""


_compiled_queries: Final[dict[Hashable, _CompiledQuery | None]] = {}


def fetch_rows(shape: Hashable, values: Values, build: BuildQuerySet) -> list[Row]:
    """Return the rows of `build(values)`, a queryset of `.values()`: one query.

    `shape` is everything beside the values that decides what `build` returns. `build` may use the values but not
    decide by them: it is called once for a shape, with placeholders.
    """
    key = (shape, tuple((name, _type_key(value)) for name, value in values.items()))
    try:
        compiled = _compiled_queries[key]
    except KeyError:
        if len(_compiled_queries) >= _MAX_SHAPES:
            _compiled_queries.clear()  # those in use are compiled again soon
        compiled = _compiled_queries[key] = _compile(values, build)
    if compiled is None:
        return list(build(values))
    with connection.cursor() as cursor:
        cursor.execute(
            compiled.sql,
            [each.value_from(values) if type(each) is _Placeholder else each for each in compiled.params],
        )
        records = cursor.fetchall()
    return [_to_row(compiled, each) for each in records]


def _to_row(compiled: _CompiledQuery, record: tuple[Any, ...]) -> Row:
    row = dict(zip(compiled.columns, record, strict=True))
    for index, read_value in compiled.readers:
        row[compiled.columns[index]] = read_value(record[index])
    return row


def _type_key(value: Any) -> Hashable:
    type_: type = type(value)
    return (type_, len(value)) if type_ is list else type_


def _compile(values: Values, build: BuildQuerySet) -> _CompiledQuery | None:
    placeholders: dict[Any, _Placeholder] = {}
    try:
        placeholder_values = {name: _placeholder_value(name, value, placeholders) for name, value in values.items()}
        query = build(placeholder_values).query
        compiler = query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        columns = tuple(query.selected or ())
        converters = compiler.get_converters([each for each, *_ in compiler.select])
        readers = tuple((index, _value_reader(*each)) for index, each in converters.items())
        parameters = tuple(placeholders.get(each, each) if isinstance(each, Hashable) else each for each in params)
    except (EmptyResultSet, _NotCompilable):
        return None
    all_found = set(placeholders.values()) <= {each for each in parameters if type(each) is _Placeholder}
    return (
        _CompiledQuery(sql, parameters, columns, readers)
        if all_found and len(columns) == len(compiler.select)
        else None
    )


def _placeholder_value(name: str, value: Any, placeholders: dict[Any, _Placeholder]) -> Any:
    """Return a value that no client can send, and register it; raises _NotCompilable."""
    if type(value) is list and value and all(type(each) is str for each in value):
        words = [f"\0{name} {index}" for index in range(len(value))]
        placeholders.update({word: _Placeholder(name, index) for index, word in enumerate(words)})
        return words
    placeholder: Any
    if type(value) is str:
        placeholder = f"\0{name}"
    elif type(value) is datetime:
        placeholder = _PLACEHOLDER_TIME.replace(microsecond=len(placeholders) + 1)
    elif type(value) is uuid.UUID:
        placeholder = uuid.UUID(int=len(placeholders) + 1)
    else:
        raise _NotCompilable(name)
    placeholders[placeholder] = _Placeholder(name)
    return placeholder


def _value_reader(converters: list[Callable[[Any, Any, Any], Any]], expression: Any) -> Callable[[Any], Any]:
    """Return the conversion of a column from the driver's value, the same as the ORM's."""
    field = getattr(expression, "target", None)
    if type(field) is JSONField and field.decoder is None:
        return one_shipment.read_json

    def read(value: Any) -> Any:
        for convert in converters:
            value = convert(value, expression, connection)
        return value

    return read
