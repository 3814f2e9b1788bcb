"""Prometheus metrics of shipments: events, states, cache lookups, the relay's lag."""

from typing import Final

from prometheus_client import Counter, Gauge

from shipments.domain import lifecycle

# The values of models.EventType, which would import the models; a test compares the two.
EVENT_TYPES: Final = (
    "created", "transitioned", "amended", "observed", "voided", "flagged", "unflagged", "deleted", "driver_changed",
    "customer_changed", "proven",
)  # fmt: skip

events: Final = Counter("shipment_events_total", "Events that were committed, by their type.", ["type"])
by_status: Final = Gauge(
    "shipments_by_status", "Shipments in each state.", ["status"], multiprocess_mode="livemostrecent"
)
relay_lag: Final = Gauge(
    "relay_lag_seconds",
    "For how long the oldest committed event has waited for its number in the feed.",
    multiprocess_mode="livemostrecent",
)
cache_requests: Final = Counter(
    "cache_requests_total", "Questions to a cache, by what came of them.", ["cache", "result"]
)

for _type in EVENT_TYPES:
    events.labels(_type)
for _status in lifecycle.STATES:
    by_status.labels(_status)
