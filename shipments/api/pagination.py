"""Keyset pages: as quick at the millionth row as at the first, and stable while rows are inserted.

A cursor holds the last row's sort value and id, not a count. It is signed and bound to ordering and filters.
"""

import hashlib
import uuid
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import urlencode

from django.core.signing import BadSignature, Signer
from django.db.models import DateTimeField, Field, OrderBy, QuerySet, TextField, UUIDField, Value
from django.db.models.expressions import F
from django.db.models.fields.tuple_lookups import Tuple
from django.db.models.lookups import GreaterThan, LessThan
from django.http import HttpRequest
from rest_framework.response import Response

from shipments.selectors import compiled
from shipments.selectors.parameters import InvalidFields, field_error

_signer: Final = Signer(salt="shipments.api.cursor")
Row = dict[str, Any]
# Names of a position's values beside those of the filters.
_VALUE: Final = "at value"
_ID: Final = "at id"


@dataclass(frozen=True, slots=True)
class Order:
    """One way to sort: by a column, then by id. Where the column may be NULL those rows come last."""

    name: str
    column: str
    descending: bool = False
    nullable: bool = False
    is_time: bool = True

    @property
    def reversed(self) -> Self:
        """The same column the other way, under its name with the `-` put on or taken off."""
        name = self.name[1:] if self.descending else f"-{self.name}"
        return type(self)(name, self.column, not self.descending, self.nullable, self.is_time)


def orders(*ascending: Order) -> dict[str, Order]:
    """This will return the orders and their reverses by name."""
    return {each.name: each for order in ascending for each in (order, order.reversed)}


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two rows, and the direction in which to read on."""

    value: str | datetime | None
    id: uuid.UUID
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in order, and the positions of the pages around them."""

    rows: list[Row]
    next: Position | None
    previous: Position | None


@dataclass(frozen=True, slots=True)
class Source:
    """The rows that a page is of: `select` returns them narrowed by values like these.

    With a `shape`, which tells all that decides what `select` returns beside the values, its SQL is kept.
    """

    select: Callable[[Mapping[str, Any]], QuerySet[Any]]
    values: Mapping[str, Any]
    shape: Hashable = None


def page(source: Source, order: Order, columns: tuple[str, ...], *, at: Position | None, limit: int) -> Page:
    """This will read one page: one query, two where the rows without a sort value begin."""
    backward = at is not None and at.backward
    found: list[Row] = []
    for part, start in _parts(order, at):
        found += _stretch(source, order, columns, part, start, backward=backward, most=limit + 1 - len(found))
        if len(found) > limit:
            break
    more = len(found) > limit
    found = found[:limit]
    if backward:
        found.reverse()
    if not found:
        return Page([], None, None if at is None else Position(at.value, at.id, backward=not backward))
    first, last = _position(found[0], order, backward=True), _position(found[-1], order, backward=False)
    return Page(found, last if more or backward else None, first if (more if backward else at) else None)


def _stretch(
    source: Source,
    order: Order,
    columns: tuple[str, ...],
    part: Any,
    start: Position | None,
    *,
    backward: bool,
    most: int,
) -> list[Row]:
    """This will read the rows of one part, at most so many."""
    here = {} if start is None else {_VALUE: start.value, _ID: start.id}
    values = {**source.values, **{name: value for name, value in here.items() if value is not None}}

    def build(given: Mapping[str, Any]) -> QuerySet[Any, Row]:
        behind = None if start is None else replace(start, value=given.get(_VALUE), id=given[_ID])
        rows = _behind(part(source.select(given)), order, behind, backward=backward)
        return _ordered(rows, order, backward=backward).values(*columns)[:most]

    if source.shape is None:
        return list(build(values))
    return compiled.fetch_rows((source.shape, order.name, columns, part.__name__, backward, most), values, build)


def _parts(order: Order, at: Position | None) -> list[tuple[Any, Position | None]]:
    """This will return the stretches to read in turn, the first of them from where the position stands.

    Rows without a value are a stretch of their own: `(NULL, id) > (…)` is never true, and two stretches can
    each be read from the index.
    """

    def everything(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows

    def valued(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(**{f"{order.column}__isnull": False})

    def empty(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(**{f"{order.column}__isnull": True})

    if not order.nullable:
        return [(everything, at)]
    if at is None:
        return [(valued, None), (empty, None)]
    if at.backward:
        return [(valued, at)] if at.value is not None else [(empty, at), (valued, None)]
    return [(empty, at)] if at.value is None else [(valued, at), (empty, None)]


def _behind(rows: QuerySet[Any], order: Order, at: Position | None, *, backward: bool) -> QuerySet[Any]:
    if at is None:
        return rows
    downwards = order.descending != backward
    comparison = LessThan if downwards else GreaterThan
    identifier = Value(at.id, output_field=UUIDField())
    if at.value is None:
        return rows.filter(comparison(F("id"), identifier))
    kind: Field[Any, Any] = DateTimeField() if order.is_time else TextField()
    # One comparison of rows, which PostgreSQL answers from the index in a single step.
    here = Tuple(Value(at.value, output_field=kind), identifier)
    return rows.filter(comparison(Tuple(F(order.column), F("id")), here))


def _ordered(rows: QuerySet[Any], order: Order, *, backward: bool) -> QuerySet[Any]:
    downwards = order.descending != backward
    return rows.order_by(*(OrderBy(F(column), descending=downwards) for column in (order.column, "id")))


def _position(row: Row, order: Order, *, backward: bool) -> Position:
    return Position(row[order.column], row["id"], backward)


# -- cursors and links ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """What a list was asked for: the parameters as the caller wrote them, without cursor and limit."""

    order: Order
    filters: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """A short hash of the filters."""
        return hashlib.blake2b(repr(sorted(self.filters.items())).encode(), digest_size=6).hexdigest()

    def cursor(self, at: Position) -> str:
        """This will write a position as an opaque text."""
        value = at.value.isoformat() if isinstance(at.value, datetime) else at.value
        return _signer.sign_object([self.order.name, self.fingerprint, int(at.backward), value, str(at.id)])

    def position(self, cursor: str) -> Position:
        """This will read a cursor back; raises Invalid for one that was changed or belongs to another list."""
        try:
            name, fingerprint, backward, value, identifier = _signer.unsign_object(cursor)
        except (BadSignature, ValueError) as error:
            raise InvalidFields([field_error("cursor", "invalid", "This is not a cursor of ours.")]) from error
        if (name, fingerprint) != (self.order.name, self.fingerprint):
            message = "This cursor belongs to another ordering or other filters."
            raise InvalidFields([field_error("cursor", "mismatch", message)])
        read = datetime.fromisoformat(value) if self.order.is_time and value is not None else value
        return Position(read, uuid.UUID(identifier), bool(backward))


def addresses(request: HttpRequest, query: Query, found: Page) -> dict[str, str | None]:
    """This will return the paths and queries of the pages behind and before."""
    return {
        "next": _address(request, query, found.next),
        "previous": _address(request, query, found.previous),
    }


def link(around: Mapping[str, str | None]) -> str:
    """This will return the field `Link` that says the same; empty where there is no other page."""
    return ", ".join(
        f'<{address}>; rel="{"prev" if rel == "previous" else rel}"' for rel, address in around.items() if address
    )


def answer(request: HttpRequest, query: Query, found: Page, results: list[Row]) -> Response:
    """This will return `{results, next, previous}` with the same two addresses in `Link`."""
    around = addresses(request, query, found)
    response = Response({"results": results} | around)
    links = link(around)
    if links:
        response["Link"] = links
    response["Cache-Control"] = "private, no-cache"
    return response


def _address(request: HttpRequest, query: Query, at: Position | None) -> str | None:
    """This will return the page's path and query; without a host, which only the client knows for sure."""
    if at is None:
        return None
    kept = [(name, text) for name, text in request.GET.items() if name != "cursor"]
    return f"{request.path}?{urlencode([*kept, ('cursor', query.cursor(at))])}"
