"""Reads of the organisation feed: what a reader may see and asks for, after a position, in order.

Positions become visible in their order, so no entry can appear before the last one read. A reader who sees or asks
for few of the events goes through the positions in stretches: each answer says how far it has read.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Max

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.models import FeedEntry, Shipment
from shipments.querysets import Viewer

# Positions that one query of a filtered read goes through, and how long a read goes on to the next ones.
STRETCH: Final = 20_000
SECONDS: Final = 1.0
# By how much the times of two events may be in another order than their positions: the longest transaction.
_DISORDER: Final = timedelta(minutes=10)
# The last position before which every event is older than a time, by halving: positions follow the times.
_POSITION_BEFORE: Final = """
WITH RECURSIVE search(low, high) AS (
    SELECT %(after)s::bigint, %(head)s::bigint
    UNION ALL
    SELECT CASE WHEN older THEN middle ELSE low END, CASE WHEN older THEN high ELSE middle - 1 END
    FROM (
        SELECT low, high, (low + high + 1) / 2 AS middle, (
            SELECT event.recorded_at < %(at)s
            FROM shipments_feedentry feed JOIN shipments_shipmentevent event ON event.id = feed.event_id
            WHERE feed.organization_id = %(organization)s AND feed.position >= (low + high + 1) / 2
            ORDER BY feed.position LIMIT 1
        ) AS older
        FROM search WHERE low < high
    ) AS probe
)
SELECT max(low) FROM search
"""


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """What a reader asks of the feed: as whom, and which events; by default all that it may see."""

    subject: Subject
    types: Sequence[str] = ()
    shipment_id: uuid.UUID | None = None
    since: datetime | None = None

    @property
    def is_selective(self) -> bool:
        """Whether most entries may be left out, so that few may be found in many positions."""
        selected = bool(self.types) or self.since is not None or not self.subject.sees_all_shipments
        return selected and self.shipment_id is None

    def end_of_stretch(self, position: int, head: int) -> int:
        """Return up to which position the next query reads."""
        return min(head, position + STRETCH) if self.is_selective else head

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row for `entry`, as arguments of `.values()`."""
        return representation.feed_columns(self.subject.variant)

    def entry(self, row: representation.Row) -> representation.Json:
        """Return one entry as the reader sees it."""
        return representation.feed_entry(row, self.subject.variant)

    def rows(self, after: int, up_to: int, *, limit: int) -> Any:
        """Return the rows after a position, `up_to` included, in order."""
        rows = entries_queryset(self.subject.organization_id, after).filter(position__lte=up_to)
        if not self.subject.sees_all_shipments:
            rows = rows.filter(event__shipment__in=Shipment.objects.visible_to(self.subject))
        if self.types:
            rows = rows.filter(event__type__in=list(self.types))
        if self.shipment_id is not None:
            rows = rows.filter(event__shipment_id=self.shipment_id)
        if self.since is not None:
            rows = rows.filter(event__recorded_at__gte=self.since)
        return rows[:limit]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries of the feed; `read_to` is the position up to which none is missing, `head` the newest one."""

    entries: list[representation.Json]
    read_to: int
    head: int


def page_of(entries: list[representation.Json], read_to: int, head: int, *, limit: int) -> FeedPage:
    """Return the page of entries that were read up to a position, or up to the limit."""
    return FeedPage(entries, entries[-1]["position"] if len(entries) == limit else read_to, head)


def entries_queryset(organization_id: uuid.UUID, position: int) -> Any:
    """Return the entries of an organisation's feed after a position, in order.

    The caller checks what the viewer may see.
    """
    return FeedEntry.objects.filter(organization_id=organization_id, position__gt=position).order_by("position")


def read_page(query: FeedQuery, after: int, *, limit: int) -> FeedPage:
    """Return the next entries after a position: one query for the head, and one a stretch.

    A selective query ends after a second, even where it has found nothing.
    """
    head = head_position(query.subject)
    position = after if query.since is None else _position_before(query, after, head)
    entries: list[representation.Json] = []
    ends_at = time.monotonic() + SECONDS
    while position < head and len(entries) < limit:
        up_to = query.end_of_stretch(position, head)
        rows = query.rows(position, up_to, limit=limit - len(entries)).values(*query.columns)
        entries += [query.entry(row) for row in rows]
        position = up_to
        if time.monotonic() >= ends_at:
            break
    return page_of(entries, position, head, limit=limit)


def _position_before(query: FeedQuery, after: int, head: int) -> int:
    """Return a position, not below `after`, before which no event is as new as the query's time."""
    if query.since is None or after >= head:
        return after
    with connection.cursor() as cursor:
        cursor.execute(
            _POSITION_BEFORE,
            {
                "after": after, "head": head, "at": query.since - _DISORDER,
                "organization": query.subject.organization_id,
            },
        )  # fmt: skip
        (position,) = cursor.fetchone()
    return int(position)


def head_position(viewer: Viewer) -> int:
    """Return the newest position of the viewer's organisation, 0 for an empty feed."""
    aggregates = FeedEntry.objects.filter(organization_id=viewer.organization_id).aggregate(newest=Max("position"))
    return aggregates["newest"] or 0
