"""INSERT and UPDATE of one row, in SQL that is compiled once for each table; several of them in one round trip.

The ORM compiles each INSERT or UPDATE anew, which takes longer than the database needs to execute it. No model
signals are sent, `save()` is not called and nothing is validated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

from django.db import DatabaseError, connection
from django.db.models import Field, Model

Fields = tuple["Field[Any, Any]", ...]
Statement = tuple[str, list[Any]]

_batch: ContextVar[list[Statement] | None] = ContextVar("batched_writes", default=None)


@contextmanager
def batched_writes() -> Iterator[None]:
    """Send all writes of the block in one statement at its end: one round trip.

    Until then the block's own queries do not see them, and `update` does not notice a missing row. Nothing is sent
    where the block raises. A block inside another is part of its statement.
    """
    if _batch.get() is not None:
        yield
        return
    writes: list[Statement] = []
    token = _batch.set(writes)
    try:
        yield
    finally:
        _batch.reset(token)
    if writes:
        with connection.cursor() as cursor:
            values = [value for _, row in writes for value in row]
            cursor.execute(_join_as_ctes(tuple(sql for sql, _ in writes)), values)


def insert(row: Model) -> None:
    """Insert a row, whose primary key is set."""
    sql, fields = _insert_sql(type(row))
    _execute(sql, _values(row, fields))
    state = row._state  # noqa: SLF001  as Model.save_base does
    state.adding, state.db = False, connection.alias


def update(row: Model, columns: tuple[str, ...]) -> None:
    """Update columns (attribute names) of a row by its primary key; raises DatabaseError where there is none."""
    sql, fields = _update_sql(type(row), columns)
    if _execute(sql, _values(row, fields)) == 0:
        raise DatabaseError(f"There is no row {row.pk} any more.")


def _execute(sql: str, values: list[Any]) -> int | None:
    """Return the number of rows, None where the statement waits for its batch."""
    writes = _batch.get()
    if writes is not None:
        writes.append((sql, values))
        return None
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


@lru_cache(maxsize=256)
def _join_as_ctes(writes: tuple[str, ...]) -> str:
    *before, last = writes
    if not before:
        return last
    return f"WITH {', '.join(f'write_{number} AS ({sql})' for number, sql in enumerate(before))} {last}"


def _values(row: Model, fields: Fields) -> list[Any]:
    return [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]


@cache
def _insert_sql(model: type[Model]) -> tuple[str, Fields]:
    fields = tuple(model._meta.concrete_fields)  # noqa: SLF001  Django documents `_meta`
    columns, placeholders = ", ".join(map(_quoted_column, fields)), ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {_quoted_table(model)} ({columns}) VALUES ({placeholders})", fields  # noqa: S608  names only


@cache
def _update_sql(model: type[Model], columns: tuple[str, ...]) -> tuple[str, Fields]:
    fields_by_attname = {field.attname: field for field in model._meta.concrete_fields}  # noqa: SLF001  Django documents `_meta`
    fields = tuple(fields_by_attname[column] for column in columns)
    key = model._meta.pk  # noqa: SLF001  Django documents `_meta`
    assert key is not None  # noqa: S101  no abstract model comes here
    assignments = ", ".join(f"{_quoted_column(field)} = %s" for field in fields)
    sql = f"UPDATE {_quoted_table(model)} SET {assignments} WHERE {_quoted_column(key)} = %s"  # noqa: S608  names only
    return sql, (*fields, key)


def _quoted_table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001  Django documents `_meta`


def _quoted_column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(field.column or field.attname)
