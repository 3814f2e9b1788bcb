"""Prometheus metrics of shipments: events, states, cache lookups, the relay's lag, the gate of password hashes."""

from typing import Final

from prometheus_client import Counter, Gauge

from shipments.domain import lifecycle

# The values of models.EventType, which would import the models; a test compares the two.
EVENT_TYPES: Final = (
    "created", "transitioned", "amended", "observed", "voided", "flagged", "unflagged", "deleted", "driver_changed",
    "customer_changed", "proven",
)  # fmt: skip

# Why a report shows no position: the codes of the errors, and `unreadable` for every other.
IGNORED_POSITION_REASONS: Final = (
    "no_coordinates", "unreadable", "out_of_range", "null_island", "too_old", "future", "impossible_jump",
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
went_back: Final = Counter(
    "database_went_back", "How often the database was found to have lost events, and got a new epoch."
)
went_back_at: Final = Gauge(
    "database_went_back_timestamp_seconds",
    "When that was last so, 0 where it never was.",
    multiprocess_mode="livemostrecent",
)
cache_requests: Final = Counter(
    "cache_requests_total", "Questions to a cache, by what came of them.", ["cache", "result"]
)
ignored_positions: Final = Counter(
    "positions_ignored_total", "Reports of phones and systems that show no position, by the reason.", ["reason"]
)
password_hashes_in_use: Final = Gauge(
    "password_hashes_in_use", "Passwords that are being hashed, summed over processes.", multiprocess_mode="livesum"
)
password_hashes_waiting: Final = Gauge(
    "password_hashes_waiting",
    "Passwords that wait to be hashed, summed over processes.",
    multiprocess_mode="livesum",
)
password_hashes_refused: Final = Counter(
    "password_hashes_refused_total", "Passwords that were not hashed because too many waited."
)

for _reason in IGNORED_POSITION_REASONS:
    ignored_positions.labels(_reason)
for _type in EVENT_TYPES:
    events.labels(_type)
for _status in lifecycle.STATES:
    by_status.labels(_status)
