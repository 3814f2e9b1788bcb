"""One shipment by its reference, in SQL that is written once for each kind of viewer.

Compiling such a question with the ORM takes longer than asking it, and it is asked by every request.
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
from shipments.querysets import Sight, Viewer

AnyModel = TypeVar("AnyModel", bound=Model)


@cache
def columns_of(model: type[Model]) -> tuple[str, ...]:
    """This will return the names of a table's columns, as `from_db` wants them."""
    return tuple(field.attname for field in model._meta.concrete_fields)  # noqa: SLF001  Django's documented API


# Stands for the reference in the SQL that is kept. In upper case, as the question asks; no reference holds it.
_PLACEHOLDER: Final = "\0REFERENCE"
_COLUMNS: Final = columns_of(Shipment)
_PARTIES: Final[Mapping[str, type[Model]]] = {
    "origin": Location, "destination": Location, "customer": Customer, "driver": Driver,
}  # fmt: skip
_WHOLE: Final = (
    *_COLUMNS,
    *(f"{name}__{column}" for name, model in _PARTIES.items() for column in columns_of(model)),
)
# Django has the driver leave JSON as it comes.
_JSON: Final = frozenset({"references", "flags"})


def row(viewer: Viewer, reference: str, columns: tuple[str, ...]) -> dict[str, Any] | None:
    """This will return the columns of one shipment, None where it is missing or not for the viewer: one query."""
    found = _ask(viewer, reference, columns, locks=False)
    return None if found is None else dict(zip(columns, found, strict=True))


def locked(viewer: Viewer, reference: str, *, whole: bool = False) -> Shipment | None:
    """This will return one shipment, its row locked until the caller's transaction ends; None as `row` does.

    `whole` brings the places and parties with it.
    """
    found = _ask(viewer, reference, _WHOLE if whole else _COLUMNS, locks=True)
    if found is None:
        return None
    values = iter(found)
    shipment = _made(Shipment, values)
    if whole:
        for name, model in _PARTIES.items():
            party = _made(model, values)
            if party.pk is not None:
                setattr(shipment, name, party)
    return shipment


def _made(model: type[AnyModel], values: Iterator[Any]) -> AnyModel:
    """This will make one row of a table out of the next values."""
    columns = columns_of(model)
    return model.from_db(connection.alias, columns, list(islice(values, len(columns))))


def _ask(viewer: Viewer, reference: str, columns: tuple[str, ...], *, locks: bool) -> list[Any] | None:
    question = _question(Sight.of(viewer), columns, locks=locks)
    if question is None:
        return None
    sql, params = question
    with connection.cursor() as cursor:
        cursor.execute(sql, [reference.upper() if param == _PLACEHOLDER else param for param in params])
        found = cursor.fetchone()
    return None if found is None else list(map(_read, columns, found))


def read_json(text: str | None) -> Any:
    """This will read a JSON column as Django reads it, None where it is NULL."""
    if text == "[]":
        return []  # most flags of most shipments
    return None if text is None else orjson.loads(text)


def _read(column: str, value: Any) -> Any:
    return read_json(value) if column in _JSON else value


@lru_cache(maxsize=1024)
def _question(sight: Sight, columns: tuple[str, ...], *, locks: bool) -> tuple[str, tuple[Any, ...]] | None:
    """This will return SQL and parameters, None where the ORM knows that this viewer sees nothing."""
    found = Shipment.objects.visible_to(sight).named(_PLACEHOLDER).values_list(*columns)
    if locks:
        found = found.select_for_update(of=("self",))
    try:
        return found.query.sql_with_params()
    except EmptyResultSet:
        return None
