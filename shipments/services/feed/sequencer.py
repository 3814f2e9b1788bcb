"""The sequencer: assigns every committed event its position in its organisation's feed."""

import time
from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction

from shipments import signals
from shipments.models import FeedEntry

# Key of a transaction-level advisory lock: its holder is the only one that assigns positions.
_LOCK: Final = 0x4652_0001
BATCH: Final = 5_000

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
SELECT organization_id, max(position), count(*) FROM numbered GROUP BY organization_id
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
        began_at = time.time()
        cursor.execute(_NUMBER, {"batch": BATCH})
        feeds = cursor.fetchall()
    for organization_id, position, number in feeds:
        signals.feed_numbered.send_robust(
            sender=FeedEntry, organization_id=organization_id, position=position, after=position - number,
            committed_after=_progress.numbered_until,
        )  # fmt: skip
    total: int = sum(number for *_, number in feeds)
    if total < BATCH:  # else more may have waited
        _progress.numbered_until = began_at
    return total
