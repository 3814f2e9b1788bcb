"""The sequencer: assigns every committed event its position in its organisation's feed."""

import uuid
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson
from django.db import connection, transaction
from django.db.models import F, Value

from monitoring import clock
from shipments import representation, signals
from shipments.models import FeedEntry
from shipments.querysets import EqualsAny

# Key of a transaction-level advisory lock: its holder is the only one that assigns positions.
_LOCK: Final = 0x4652_0001
BATCH: Final = 5_000
# A batch of at most this many events is sent with the signal: whoever delivers it need not read it again.
MAX_SHOWN: Final = 50

# Events are numbered in the order of their ids (time), but never before an earlier event of the same shipment: the
# k-th event of a shipment by seq takes the k-th position that the shipment's events got by id. Events of a shipment
# that the batch left out are included up to its highest seq in the batch.
_NUMBER: Final = """
WITH batch AS (
    SELECT event.id, COALESCE(event.shipment_id, event.id) AS owner, event.seq
    FROM shipments_unnumberedevent waiting JOIN shipments_shipmentevent event ON event.id = waiting.event_id
    ORDER BY waiting.event_id LIMIT %(batch)s
), tops AS (
    SELECT owner, max(seq) AS seq FROM batch GROUP BY owner
), taken AS (
    SELECT event.id, event.organization_id, tops.owner, event.seq
    FROM shipments_unnumberedevent waiting
    JOIN shipments_shipmentevent event ON event.id = waiting.event_id
    JOIN tops ON tops.owner = COALESCE(event.shipment_id, event.id) AND event.seq <= tops.seq
), places AS (
    SELECT owner, organization_id,
           row_number() OVER (PARTITION BY organization_id ORDER BY id) AS place,
           row_number() OVER (PARTITION BY owner ORDER BY id) AS k
    FROM taken
), turns AS (
    SELECT id, owner, row_number() OVER (PARTITION BY owner ORDER BY seq) AS k FROM taken
), heads AS MATERIALIZED (
    SELECT organization_id, (
        SELECT COALESCE(max(position), 0) FROM shipments_feedentry feed
        WHERE feed.organization_id = organizations.organization_id
    ) AS position
    FROM (SELECT DISTINCT organization_id FROM taken) AS organizations
), numbered AS (
    INSERT INTO shipments_feedentry (event_id, organization_id, position)
    SELECT turns.id, places.organization_id, heads.position + places.place
    FROM turns JOIN places USING (owner, k) JOIN heads USING (organization_id)
    RETURNING event_id, organization_id, position
), done AS (
    DELETE FROM shipments_unnumberedevent waiting USING numbered WHERE waiting.event_id = numbered.event_id
)
SELECT organization_id, max(position), count(*),
       CASE WHEN sum(count(*)) OVER () <= %(shown)s THEN array_agg(event_id) ELSE '{}' END
FROM numbered GROUP BY organization_id
"""


class FeedNotFound(Exception):
    """There is no feed for a subject that does not see every shipment."""


@dataclass(slots=True)
class _Progress:
    """What this process knows of the events that it numbers."""

    # Seconds since 1970: every event that was committed before has its position; 0 before the first batch.
    numbered_until: float = 0.0


_progress: Final = _Progress()


def number_batch() -> int:
    """Assign positions to a batch of committed events, send `feed_numbered`, and return how many.

    Zero where there are none, or where another process holds the lock. A single sequencer makes
    `position > last` safe to read by: positions become visible in their order.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        began_at = clock.now().timestamp()
        cursor.execute(_NUMBER, {"batch": BATCH, "shown": MAX_SHOWN})
        feeds = cursor.fetchall()
        entries = _entries_by_organization([event_id for *_, event_ids in feeds for event_id in event_ids])
    for organization_id, position, number, _ in feeds:
        signals.feed_numbered.send_robust(
            sender=FeedEntry, organization_id=organization_id, position=position, after=position - number,
            committed_after=_progress.numbered_until, entries=entries[organization_id],
        )  # fmt: skip
    total: int = sum(number for _, _, number, _ in feeds)
    if total < BATCH:  # else more may have waited
        _progress.numbered_until = began_at
    return total


_PLACEHOLDER: Final[list[str]] = []  # stands for the array of ids in compiled SQL


@cache
def _entries_statement() -> tuple[str, tuple[Any, ...]]:
    entries = FeedEntry.objects.filter(EqualsAny(F("event_id"), Value(_PLACEHOLDER))).order_by("position")
    return entries.values_list("organization_id", *representation.FEED_COLUMNS).query.sql_with_params()


def _entries_by_organization(event_ids: list[uuid.UUID]) -> dict[uuid.UUID, list[representation.Json]]:
    """Return the entries of numbered events as JSON, in the order of their positions: one query."""
    entries: dict[uuid.UUID, list[representation.Json]] = defaultdict(list)
    if event_ids:
        sql, params = _entries_statement()
        with connection.cursor() as cursor:
            cursor.execute(sql, [event_ids if param == _PLACEHOLDER else param for param in params])
            for organization_id, *values in cursor.fetchall():
                row = dict(zip(representation.FEED_COLUMNS, values, strict=True))
                row["event__data"] = orjson.loads(row["event__data"])  # Django has the driver return JSON as text
                entries[organization_id].append(representation.feed_entry(row, "staff"))
    return entries
