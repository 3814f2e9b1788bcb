"""One shipment by its reference, in SQL that is compiled once for each visibility scope.

Every request runs this query, and compiling it with the ORM takes longer than executing it.
"""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import islice
from typing import Any, Final, TypeVar

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Model

from shipments.models import Customer, Driver, Location, Shipment
from shipments.querysets import Viewer, VisibilityScope

AnyModel = TypeVar("AnyModel", bound=Model)


@cache
def column_names(model: type[Model]) -> tuple[str, ...]:
    """Return the attribute names of a model's columns, as `from_db` takes them."""
    return tuple(field.attname for field in model._meta.concrete_fields)  # noqa: SLF001  Django documents `_meta`


# Stands for the reference in compiled SQL: in upper case like the parameter, and no valid reference.
_PLACEHOLDER: Final = "\0REFERENCE"
_COLUMNS: Final = column_names(Shipment)
_RELATED: Final[Mapping[str, type[Model]]] = {
    "origin": Location, "destination": Location, "customer": Customer, "driver": Driver,
}  # fmt: skip
_COLUMNS_WITH_RELATED: Final = (
    *_COLUMNS,
    *(f"{name}__{column}" for name, model in _RELATED.items() for column in column_names(model)),
)
# Django configures the driver to return JSON as text.
_JSON_COLUMNS: Final = frozenset({"references", "flags"})


def fetch_row(viewer: Viewer, reference: str, columns: tuple[str, ...]) -> dict[str, Any] | None:
    """Return columns of one shipment, None where it is missing or not visible to the viewer: one query."""
    values = _fetch(viewer, reference, columns, for_update=False)
    return None if values is None else dict(zip(columns, values, strict=True))


def fetch_locked(viewer: Viewer, reference: str, *, with_related: bool = False) -> Shipment | None:
    """Return one shipment with its row locked, None as `fetch_row` does: one query.

    Must run in a transaction, which holds the lock until it ends. `with_related` fetches places and parties too.
    """
    row_values = _fetch(viewer, reference, _COLUMNS_WITH_RELATED if with_related else _COLUMNS, for_update=True)
    if row_values is None:
        return None
    values = iter(row_values)
    shipment = _build_instance(Shipment, values)
    if with_related:
        for name, model in _RELATED.items():
            related = _build_instance(model, values)
            if related.pk is not None:
                setattr(shipment, name, related)
    return shipment


def _build_instance(model: type[AnyModel], values: Iterator[Any]) -> AnyModel:
    """Return an instance made of the next values, as many as the model has columns."""
    columns = column_names(model)
    return model.from_db(connection.alias, columns, list(islice(values, len(columns))))


def _fetch(viewer: Viewer, reference: str, columns: tuple[str, ...], *, for_update: bool) -> list[Any] | None:
    statement = _compiled_statement(VisibilityScope.of(viewer), columns, for_update=for_update)
    if statement is None:
        return None
    sql, params = statement
    with connection.cursor() as cursor:
        cursor.execute(sql, [reference.upper() if param == _PLACEHOLDER else param for param in params])
        row_values = cursor.fetchone()
    return None if row_values is None else list(map(_read_column, columns, row_values))


def read_json(text: str | None) -> Any:
    """Return the value of a JSON column as Django does, None where it is NULL."""
    if text == "[]":
        return []  # the flags of most shipments: not worth a parser
    return None if text is None else orjson.loads(text)


def _read_column(column: str, value: Any) -> Any:
    return read_json(value) if column in _JSON_COLUMNS else value


@lru_cache(maxsize=1024)
def _compiled_statement(
    scope: VisibilityScope, columns: tuple[str, ...], *, for_update: bool
) -> tuple[str, tuple[Any, ...]] | None:
    """Return SQL and parameters, None where the scope sees nothing (EmptyResultSet)."""
    rows = Shipment.objects.visible_to(scope).with_reference(_PLACEHOLDER).values_list(*columns)
    if for_update:
        rows = rows.select_for_update(of=("self",))
    try:
        return rows.query.sql_with_params()
    except EmptyResultSet:
        return None
