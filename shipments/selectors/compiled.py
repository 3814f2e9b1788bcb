"""Questions whose SQL is compiled once for each shape, and asked with other values ever after.

A list is asked for in few shapes (who looks, which filters, which order) and with ever new values. Compiling one
with the ORM takes longer than asking it. Here it is compiled with stand-ins for the values; a question in whose
parameters they are not all found again, as they were given, is left to the ORM each time.
"""

import uuid
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import JSONField, QuerySet

from shipments import lookup

Row = dict[str, Any]
Values = Mapping[str, Any]
Build = Callable[[Values], QuerySet[Any, Row]]
_MOST: Final = 1024
_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Question:
    """SQL; its parameters, where a `_Given` stands for a value; the names of its columns, and how some are read."""

    sql: str
    params: tuple[Any, ...]
    names: tuple[str, ...]
    readers: tuple[tuple[int, Callable[[Any], Any]], ...]


@dataclass(frozen=True, slots=True)
class _Given:
    """The value of this name; of several words the one at this place."""

    name: str
    place: int | None = None

    def of(self, values: Values) -> Any:
        """This will return it."""
        value = values[self.name]
        return value if self.place is None else value[self.place]


class _Unplain(Exception):
    """What this question is made of cannot be found again in its parameters."""


_kept: Final[dict[Hashable, _Question | None]] = {}


def rows(shape: Hashable, values: Values, build: Build) -> list[Row]:
    """This will return the rows of `build(values)`, a queryset of `.values()`: one query.

    `shape` tells all else that decides what `build` returns, which may not look at the values: only use them.
    """
    key = (shape, tuple((name, _kind(value)) for name, value in values.items()))
    try:
        question = _kept[key]
    except KeyError:
        if len(_kept) >= _MOST:
            _kept.clear()  # all are soon there again
        question = _kept[key] = _compiled(values, build)
    if question is None:
        return list(build(values))
    with connection.cursor() as cursor:
        cursor.execute(
            question.sql, [each.of(values) if type(each) is _Given else each for each in question.params]
        )
        found = cursor.fetchall()
    return [_read(question, each) for each in found]


def _read(question: _Question, found: tuple[Any, ...]) -> Row:
    row = dict(zip(question.names, found, strict=True))
    for place, read in question.readers:
        row[question.names[place]] = read(found[place])
    return row


def _kind(value: Any) -> Hashable:
    kind: type = type(value)
    return (kind, len(value)) if kind is list else kind


def _compiled(values: Values, build: Build) -> _Question | None:
    given: dict[Any, _Given] = {}
    try:
        stand_ins = {name: _stand_in(name, value, given) for name, value in values.items()}
        query = build(stand_ins).query
        compiler = query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        names = tuple(query.selected or ())
        converters = compiler.get_converters([each for each, *_ in compiler.select])
        readers = tuple((place, _reader(*each)) for place, each in converters.items())
        found = tuple(given.get(each, each) if isinstance(each, Hashable) else each for each in params)
    except (EmptyResultSet, _Unplain):
        return None
    whole = set(given.values()) <= {each for each in found if type(each) is _Given}
    return _Question(sql, found, names, readers) if whole and len(names) == len(compiler.select) else None


def _stand_in(name: str, value: Any, given: dict[Any, _Given]) -> Any:
    """This will return what stands for a value while its question is compiled: nobody can ask for it."""
    if type(value) is list and value and all(type(each) is str for each in value):
        words = [f"\0{name} {place}" for place in range(len(value))]
        given.update({word: _Given(name, place) for place, word in enumerate(words)})
        return words
    stand_in: Any
    if type(value) is str:
        stand_in = f"\0{name}"
    elif type(value) is datetime:
        stand_in = _BEGINNING.replace(microsecond=len(given) + 1)
    elif type(value) is uuid.UUID:
        stand_in = uuid.UUID(int=len(given) + 1)
    else:
        raise _Unplain(name)
    given[stand_in] = _Given(name)
    return stand_in


def _reader(converters: list[Callable[[Any, Any, Any], Any]], expression: Any) -> Callable[[Any], Any]:
    """This will return what makes a value of a column of what the driver brings, as the ORM does."""
    field = getattr(expression, "target", None)
    if type(field) is JSONField and field.decoder is None:
        return lookup.read_json

    def read(value: Any) -> Any:
        for convert in converters:
            value = convert(value, expression, connection)
        return value

    return read
