"""One row written, in SQL that is made once for each table: every write of a shipment does so several times.

The ORM compiles an INSERT or UPDATE anew for each row, which takes longer than the database needs for it. Signals
of models are not sent, and nothing is looked at but the columns.
"""

from functools import cache
from typing import Any

from django.db import DatabaseError, connection
from django.db.models import Field, Model

Fields = tuple["Field[Any, Any]", ...]


def insert(row: Model) -> None:
    """This will insert a row that has its key."""
    sql, fields = _insertion(type(row))
    with connection.cursor() as cursor:
        cursor.execute(sql, _values(row, fields))
    state = row._state  # noqa: SLF001  Django's documented API
    state.adding, state.db = False, connection.alias


def update(row: Model, columns: tuple[str, ...]) -> None:
    """This will store columns (by attribute) of the row with this key; raises DatabaseError where there is none."""
    sql, fields = _change(type(row), columns)
    with connection.cursor() as cursor:
        cursor.execute(sql, _values(row, fields))
        if cursor.rowcount != 1:
            raise DatabaseError(f"There is no row {row.pk} any more.")


def _values(row: Model, fields: Fields) -> list[Any]:
    return [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]


@cache
def _insertion(model: type[Model]) -> tuple[str, Fields]:
    fields = tuple(model._meta.concrete_fields)  # noqa: SLF001  Django's documented API
    names, marks = ", ".join(map(_name, fields)), ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {_table(model)} ({names}) VALUES ({marks})", fields  # noqa: S608  names of ours


@cache
def _change(model: type[Model], columns: tuple[str, ...]) -> tuple[str, Fields]:
    known = {field.attname: field for field in model._meta.concrete_fields}  # noqa: SLF001
    fields = tuple(known[column] for column in columns)
    key = model._meta.pk  # noqa: SLF001
    assert key is not None  # noqa: S101  every model of ours has one
    changes = ", ".join(f"{_name(field)} = %s" for field in fields)
    return f"UPDATE {_table(model)} SET {changes} WHERE {_name(key)} = %s", (*fields, key)  # noqa: S608


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001


def _name(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(field.column or field.attname)
