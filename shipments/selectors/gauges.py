"""What is measured in the database now and then, for metrics: by one process of a host, never for a request."""

from typing import Final

from django.db import connection
from django.db.models import Count

from shipments import metrics
from shipments.domain import lifecycle
from shipments.models import Shipment

# Ids carry their time: the first one has waited longest, up to a moment that does not matter.
_LAG: Final = """
SELECT COALESCE(EXTRACT(epoch FROM clock_timestamp() - (
    SELECT event.recorded_at FROM shipments_unnumberedevent waiting
    JOIN shipments_shipmentevent event ON event.id = waiting.event_id
    ORDER BY waiting.event_id LIMIT 1
)), 0)
"""


def sample_relay_lag() -> None:
    """Measure for how long the oldest committed event has waited for its number."""
    with connection.cursor() as cursor:
        cursor.execute(_LAG)
        metrics.relay_lag.set(max(0.0, float(cursor.fetchone()[0])))


def sample_states() -> None:
    """Count the shipments in each state."""
    rows = Shipment.objects.not_deleted().order_by().values("status").annotate(number=Count("id"))
    counts = {row["status"]: row["number"] for row in rows}
    for state in lifecycle.STATES:
        metrics.by_status.labels(state).set(counts.get(state, 0))
