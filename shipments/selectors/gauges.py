"""Gauges that are sampled from the database by one process of a host, never by a request."""

from typing import Final

from django.db import connection
from django.db.models import Count

from shipments import metrics
from shipments.domain import lifecycle
from shipments.models import Shipment

# Ids are ordered by time (UUIDv7): the lowest one is the oldest, to within milliseconds.
_LAG: Final = """
SELECT COALESCE(EXTRACT(epoch FROM clock_timestamp() - (
    SELECT event.recorded_at FROM shipments_unnumberedevent waiting
    JOIN shipments_shipmentevent event ON event.id = waiting.event_id
    ORDER BY waiting.event_id LIMIT 1
)), 0)
"""


def sample_relay_lag() -> None:
    """Set the gauge of the relay's lag: the age of the oldest committed event without a position."""
    with connection.cursor() as cursor:
        cursor.execute(_LAG)
        metrics.relay_lag.set(max(0.0, float(cursor.fetchone()[0])))


def sample_states() -> None:
    """Set the gauge of shipments by state."""
    rows = Shipment.objects.not_deleted().order_by().values("status").annotate(number=Count("id"))
    counts = {row["status"]: row["number"] for row in rows}
    for state in lifecycle.STATES:
        metrics.by_status.labels(state).set(counts.get(state, 0))
