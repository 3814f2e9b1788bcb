"""Keyset pages: as quick at the millionth row as at the first, and stable while rows are inserted.

A position is the sort value and id of a row, not a count.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from shipments.compiled_sql import lists
from shipments.selectors.lists import segments
from shipments.selectors.lists.paging import CursorPosition, Ordering
from shipments.selectors.lists.query import ListQuery
from shipments.selectors.lists.segments import Segment, SegmentRead

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order of the list, and the positions of the pages around them (None: there is none).

    `is_fuzzy`: a search found nothing as it was written, and these rows are like it.
    """

    rows: list[Row]
    next: CursorPosition | None
    previous: CursorPosition | None
    is_fuzzy: bool = False


def read_page(query: ListQuery) -> Page:
    """Read one page: one query, two where the page reaches the rows without a sort value."""
    start, ordering, limit = query.start, query.ordering, query.limit
    backward = start is not None and start.backward
    rows: list[Row] = []
    is_fuzzy = False
    for segment, segment_start in _segments(ordering, start):
        # One row more than the page shows whether there is another page.
        fetched, is_fuzzy = _fetch_segment(
            query, SegmentRead(segment, segment_start, backward, limit + 1 - len(rows))
        )
        rows += fetched
        if len(rows) > limit:
            break
    has_more = len(rows) > limit
    rows = rows[:limit]
    if backward:
        rows.reverse()
    if not rows:
        return Page([], None, None if start is None else CursorPosition(start.value, start.id, not backward))
    first, last = _position_of(rows[0], ordering, backward=True), _position_of(rows[-1], ordering, backward=False)
    following = last if has_more or backward else None
    return Page(rows, following, first if (has_more if backward else start) else None, is_fuzzy)


def _segments(ordering: Ordering, start: CursorPosition | None) -> list[tuple[Segment, CursorPosition | None]]:
    """Return the segments to read in turn, the first of them from the position on."""
    if not ordering.nullable:
        return [(Segment.ALL, start)]
    if start is None:
        return [(Segment.WITH_VALUE, None), (Segment.WITHOUT_VALUE, None)]
    if start.backward:
        if start.value is not None:
            return [(Segment.WITH_VALUE, start)]
        return [(Segment.WITHOUT_VALUE, start), (Segment.WITH_VALUE, None)]
    if start.value is None:
        return [(Segment.WITHOUT_VALUE, start)]
    return [(Segment.WITH_VALUE, start), (Segment.WITHOUT_VALUE, None)]


def _fetch_segment(query: ListQuery, read: SegmentRead) -> tuple[list[Row], bool]:
    """Return the rows of a segment, and whether they are only like what was searched for."""
    values = {**query.filter_values, **read.position_values}
    build = partial(segments.build_queryset, query, read)
    sql_key = query.sql_key
    if sql_key is None:
        rows = build(values)
        return list(rows), getattr(rows, "is_fuzzy", False)
    sql_key = sql_key, query.ordering.name, read.segment, read.backward, read.limit
    return lists.fetch_rows(sql_key, values, build), False


def _position_of(row: Row, ordering: Ordering, *, backward: bool) -> CursorPosition:
    return CursorPosition(row[ordering.column], row["id"], backward)
