"""One row written, in SQL that is made once for each table: every write of a shipment does so several times.

The ORM compiles an INSERT or UPDATE anew for each row, which takes longer than the database needs for it. Signals
of models are not sent, and nothing is looked at but the columns. What belongs together goes in one statement.
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

_batch: ContextVar[list[Statement] | None] = ContextVar("gathered", default=None)


@contextmanager
def batched_writes() -> Iterator[None]:
    """Write the rows of the block in one statement at its end: one word with the database, not several.

    Nothing in the block sees what it writes, nor whether a row was there to be changed.
    """
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
    """Insert a row that has its key."""
    sql, fields = _insert_sql(type(row))
    _execute(sql, _values(row, fields))
    state = row._state
    state.adding, state.db = False, connection.alias


def update(row: Model, columns: tuple[str, ...]) -> None:
    """Store columns (by attribute) of the row with this key; raises DatabaseError where there is none."""
    sql, fields = _update_sql(type(row), columns)
    if _execute(sql, _values(row, fields)) == 0:
        raise DatabaseError(f"There is no row {row.pk} any more.")


def _execute(sql: str, values: list[Any]) -> int | None:
    """Return the number of rows, None where they are only gathered."""
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
    fields = tuple(model._meta.concrete_fields)
    columns, placeholders = ", ".join(map(_quoted_column, fields)), ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {_quoted_table(model)} ({columns}) VALUES ({placeholders})", fields


@cache
def _update_sql(model: type[Model], columns: tuple[str, ...]) -> tuple[str, Fields]:
    fields_by_attname = {field.attname: field for field in model._meta.concrete_fields}
    fields = tuple(fields_by_attname[column] for column in columns)
    key = model._meta.pk
    assert key is not None
    assignments = ", ".join(f"{_quoted_column(field)} = %s" for field in fields)
    return f"UPDATE {_quoted_table(model)} SET {assignments} WHERE {_quoted_column(key)} = %s", (*fields, key)


def _quoted_table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _quoted_column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(field.column or field.attname)
