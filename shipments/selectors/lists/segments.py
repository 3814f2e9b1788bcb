"""The querysets of keyset pages: one segment of a list in its order, from a position on.

Rows whose sort value is NULL are a segment of their own: `(NULL, id) > (…)` is never true, and each of the two
segments is read from the index.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from django.db.models import DateTimeField, Field, OrderBy, QuerySet, TextField, UUIDField, Value
from django.db.models.expressions import F
from django.db.models.fields.tuple_lookups import Tuple
from django.db.models.lookups import GreaterThan, LessThan

from shipments.selectors.lists.paging import CursorPosition, Ordering
from shipments.selectors.lists.query import ListQuery

# Names of a position's values among those of the filters; no parameter of a list is called like this.
POSITION_VALUE: Final = "at value"
POSITION_ID: Final = "at id"


class Segment(StrEnum):
    """Which rows of a list, by their sort value."""

    ALL = "all"
    WITH_VALUE = "with value"
    WITHOUT_VALUE = "without value"


@dataclass(frozen=True, slots=True)
class SegmentRead:
    """Rows of one segment behind `start` (from its beginning without one), at most `limit`."""

    segment: Segment
    start: CursorPosition | None
    backward: bool
    limit: int

    @property
    def position_values(self) -> dict[str, Any]:
        """The values of the position by name, without a sort value that is NULL."""
        if self.start is None:
            return {}
        values = {POSITION_VALUE: self.start.value, POSITION_ID: self.start.id}
        return {name: value for name, value in values.items() if value is not None}


def build_queryset(query: ListQuery, read: SegmentRead, values: Mapping[str, Any]) -> QuerySet[Any, dict[str, Any]]:
    """Return the queryset of a read; `values` are those of the filters and the position, or stand-ins for them."""
    ordering = query.ordering
    is_descending = ordering.descending != read.backward
    rows = query.select(values)
    if read.segment is not Segment.ALL:
        rows = rows.filter(**{f"{ordering.column}__isnull": read.segment is Segment.WITHOUT_VALUE})
    if read.start is not None:
        rows = _after_position(rows, ordering, values, is_descending=is_descending)
    rows = rows.order_by(*(OrderBy(F(column), descending=is_descending) for column in (ordering.column, "id")))
    return rows.values(*query.definition.columns)[: read.limit]


def _after_position(
    rows: QuerySet[Any], ordering: Ordering, values: Mapping[str, Any], *, is_descending: bool
) -> QuerySet[Any]:
    comparison = LessThan if is_descending else GreaterThan
    identifier = Value(values[POSITION_ID], output_field=UUIDField())
    sort_value = values.get(POSITION_VALUE)
    if sort_value is None:
        return rows.filter(comparison(F("id"), identifier))
    field: Field[Any, Any] = DateTimeField() if ordering.is_time else TextField()
    # One comparison of rows, which PostgreSQL answers from the index in a single step.
    row_value = Tuple(Value(sort_value, output_field=field), identifier)
    return rows.filter(comparison(Tuple(F(ordering.column), F("id")), row_value))
