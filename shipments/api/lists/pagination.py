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

from shipments.compiled_sql import lists
from shipments.parsing.query_parameters import InvalidFields, field_error

_signer: Final = Signer(salt="shipments.api.cursor")
Row = dict[str, Any]
# Names of a position's values beside those of the filters.
_VALUE: Final = "at value"
_ID: Final = "at id"


@dataclass(frozen=True, slots=True)
class Ordering:
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


def orderings(*ascending: Ordering) -> dict[str, Ordering]:
    """Return the orders and their reverses by name."""
    return {each.name: each for order in ascending for each in (order, order.reversed)}


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """A place between two rows, and the direction in which to read on."""

    value: str | datetime | None
    id: uuid.UUID
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in order, and the positions of the pages around them."""

    rows: list[Row]
    next: CursorPosition | None
    previous: CursorPosition | None


@dataclass(frozen=True, slots=True)
class RowSource:
    """The rows that a page is of: `select` returns them narrowed by values like these.

    With a `shape`, which tells all that decides what `select` returns beside the values, its SQL is kept.
    """

    select: Callable[[Mapping[str, Any]], QuerySet[Any]]
    values: Mapping[str, Any]
    sql_key: Hashable = None


def fetch_keyset_page(
    source: RowSource, order: Ordering, columns: tuple[str, ...], *, at: CursorPosition | None, limit: int
) -> Page:
    """Read one page: one query, two where the rows without a sort value begin."""
    backward = at is not None and at.backward
    rows: list[Row] = []
    for part, start in _segments(order, at):
        rows += _fetch_segment(source, order, columns, part, start, backward=backward, limit=limit + 1 - len(rows))
        if len(rows) > limit:
            break
    has_more = len(rows) > limit
    rows = rows[:limit]
    if backward:
        rows.reverse()
    if not rows:
        return Page([], None, None if at is None else CursorPosition(at.value, at.id, backward=not backward))
    first, last = _position_of(rows[0], order, backward=True), _position_of(rows[-1], order, backward=False)
    return Page(rows, last if has_more or backward else None, first if (has_more if backward else at) else None)


def _fetch_segment(
    source: RowSource,
    order: Ordering,
    columns: tuple[str, ...],
    part: Any,
    start: CursorPosition | None,
    *,
    backward: bool,
    limit: int,
) -> list[Row]:
    """Read the rows of one part, at most so many."""
    cursor_values = {} if start is None else {_VALUE: start.value, _ID: start.id}
    values = {**source.values, **{name: value for name, value in cursor_values.items() if value is not None}}

    def build(given: Mapping[str, Any]) -> QuerySet[Any, Row]:
        start_position = None if start is None else replace(start, value=given.get(_VALUE), id=given[_ID])
        rows = _after_position(part(source.select(given)), order, start_position, backward=backward)
        return _order_rows(rows, order, backward=backward).values(*columns)[:limit]

    if source.sql_key is None:
        return list(build(values))
    return lists.fetch_rows((source.sql_key, order.name, columns, part.__name__, backward, limit), values, build)


def _segments(order: Ordering, at: CursorPosition | None) -> list[tuple[Any, CursorPosition | None]]:
    """Return the stretches to read in turn, the first of them from where the position stands.

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


def _after_position(
    rows: QuerySet[Any], order: Ordering, at: CursorPosition | None, *, backward: bool
) -> QuerySet[Any]:
    if at is None:
        return rows
    is_descending = order.descending != backward
    comparison = LessThan if is_descending else GreaterThan
    identifier = Value(at.id, output_field=UUIDField())
    if at.value is None:
        return rows.filter(comparison(F("id"), identifier))
    field: Field[Any, Any] = DateTimeField() if order.is_time else TextField()
    # One comparison of rows, which PostgreSQL answers from the index in a single step.
    row_value = Tuple(Value(at.value, output_field=field), identifier)
    return rows.filter(comparison(Tuple(F(order.column), F("id")), row_value))


def _order_rows(rows: QuerySet[Any], order: Ordering, *, backward: bool) -> QuerySet[Any]:
    is_descending = order.descending != backward
    return rows.order_by(*(OrderBy(F(column), descending=is_descending) for column in (order.column, "id")))


def _position_of(row: Row, order: Ordering, *, backward: bool) -> CursorPosition:
    return CursorPosition(row[order.column], row["id"], backward)


# -- cursors and links ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list was asked for: the parameters as the caller wrote them, without cursor and limit."""

    order: Ordering
    filters: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """A short hash of the filters."""
        return hashlib.blake2b(repr(sorted(self.filters.items())).encode(), digest_size=6).hexdigest()

    def cursor(self, at: CursorPosition) -> str:
        """Write a position as an opaque text."""
        value = at.value.isoformat() if isinstance(at.value, datetime) else at.value
        return _signer.sign_object([self.order.name, self.fingerprint, int(at.backward), value, str(at.id)])

    def position(self, cursor: str) -> CursorPosition:
        """Read a cursor back; raises Invalid for one that was changed or belongs to another list."""
        try:
            name, fingerprint, backward, value, identifier = _signer.unsign_object(cursor)
        except (BadSignature, ValueError) as error:
            raise InvalidFields([field_error("cursor", "invalid", "This is not a cursor of ours.")]) from error
        if (name, fingerprint) != (self.order.name, self.fingerprint):
            message = "This cursor belongs to another ordering or other filters."
            raise InvalidFields([field_error("cursor", "mismatch", message)])
        read = datetime.fromisoformat(value) if self.order.is_time and value is not None else value
        return CursorPosition(read, uuid.UUID(identifier), bool(backward))


def page_links(request: HttpRequest, query: ListQuery, page: Page) -> dict[str, str | None]:
    """Return the paths and queries of the pages behind and before."""
    return {
        "next": _page_url(request, query, page.next),
        "previous": _page_url(request, query, page.previous),
    }


def link_header(pages: Mapping[str, str | None]) -> str:
    """Return the field `Link` that says the same; empty where there is no other page."""
    return ", ".join(
        f'<{address}>; rel="{"prev" if rel == "previous" else rel}"' for rel, address in pages.items() if address
    )


def page_response(request: HttpRequest, query: ListQuery, page: Page, results: list[Row]) -> Response:
    """Return `{results, next, previous}` with the same two addresses in `Link`."""
    pages = page_links(request, query, page)
    response = Response({"results": results} | pages)
    links = link_header(pages)
    if links:
        response["Link"] = links
    response["Cache-Control"] = "private, no-cache"
    return response


def _page_url(request: HttpRequest, query: ListQuery, at: CursorPosition | None) -> str | None:
    """Return the page's path and query; without a host, which only the client knows for sure."""
    if at is None:
        return None
    parameters = [(name, text) for name, text in request.GET.items() if name != "cursor"]
    return f"{request.path}?{urlencode([*parameters, ('cursor', query.cursor(at))])}"
