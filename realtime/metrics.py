"""Prometheus metrics of the realtime app: sockets, rooms, deliveries, healed gaps, failed hints."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from monitoring import clock

_SLOW_CONSUMER: Final = 4431  # CloseCode.SLOW_CONSUMER of realtime.protocol, which metrics does not import
# The service-level objectives are exact at two of the bounds: 0.1 s for deliveries, 0.2 s for scaling.
_DELIVERY_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip

connections: Final = Gauge("websocket_connections_active", "Open sockets.", multiprocess_mode="livesum")
connections_total: Final = Counter("websocket_connections_total", "Accepted sockets.")
messages: Final = Counter(
    "websocket_messages_total",
    "Frames by direction (in, out) and type; of unknown ones the type is `other`.",
    ["direction", "type"],
)
delivery_seconds: Final = Histogram(
    "websocket_delivery_latency_seconds",
    "From the commit of an event to the writing of its frame to the sockets and streams of a room, once for each"
    " room and process. Rooms of shipments and the feed count; positions and progress do not, since they conflate.",
    buckets=_DELIVERY_SECONDS,
)
rooms: Final = Gauge("websocket_rooms", "Rooms with members, summed over processes.", multiprocess_mode="livesum")
replayed_events: Final = Counter("websocket_replayed_events_total", "Events replayed to sockets that resumed.")
healed_events: Final = Counter(
    "websocket_gaps_healed_total", "Events that no hint brought and that a fill read from the log."
)
slow_consumers: Final = Counter(
    "websocket_slow_consumers_total", "Sockets that were closed because they read too slowly."
)
publish_failures: Final = Counter("hint_publish_failures_total", "Hints that did not reach Redis.")
sweep_seconds: Final = Histogram(
    "sweep_duration_seconds",
    "Duration of the comparison of all rooms with the log.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)

_limited: Final = Counter(
    "websocket_limited_total", "Sockets and frames that a limit refused, by limit.", ["limit"]
)
_closed: Final = Counter("websocket_closed_total", "Sockets that the server closed, by close code.", ["code"])
_rechecks: Final = Counter(
    "websocket_access_changes_total",
    "Re-checks of open sockets, by outcome.",
    ["outcome"],
)

IN_TYPES: Final = frozenset({"auth", "join:room", "leave:room", "token:refresh", "ping", "driver:location"})
OUT_TYPES: Final = frozenset(
    {
        "welcome", "room:joined", "room:left", "shipment:update", "driver:location:update", "export:progress",
        "import:progress", "heartbeat", "pong", "token:expiring", "token:refreshed", "drain", "stale", "error",
    }
)  # fmt: skip

for _limit in ("messages", "rooms", "user_sockets", "address_sockets", "connects", "unauthenticated"):
    _limited.labels(_limit)
for _outcome in ("kept", "changed", "revoked"):
    _rechecks.labels(_outcome)
for _type in IN_TYPES:
    messages.labels("in", _type)
for _type in OUT_TYPES:
    messages.labels("out", _type)


# Frames sent so far, by the first letters of their type (behind `{"type":"`). The hot path counts in a dict;
# `flush_sent_counts` adds the sums to the counter once a second.
sent_by_type: Final[defaultdict[bytes, int]] = defaultdict(int)
_flushed: Final[dict[bytes, int]] = {}
_open = 0
_TYPE_AT: Final = slice(9, 24)


def socket_opened() -> None:
    """Count an accepted socket."""
    global _open
    _open += 1
    connections.inc()
    connections_total.inc()


def socket_closed() -> None:
    """Count the end of an accepted socket."""
    global _open
    _open -= 1
    connections.dec()


def open_sockets() -> int:
    """Return the number of open sockets of this process."""
    return _open


def count_received(kind: str) -> None:
    """Count a client's frame by its type."""
    messages.labels("in", kind if kind in IN_TYPES else "other").inc()


def count_sent(frame: bytes, sockets: int = 1) -> None:
    """Count a frame that is sent to a number of sockets."""
    sent_by_type[frame[_TYPE_AT]] += sockets


def flush_sent_counts() -> None:
    """Add the frames sent since the last call to the Prometheus counter."""
    for letters, number in list(sent_by_type.items()):
        sent = number - _flushed.get(letters, 0)
        if sent:
            _flushed[letters] = number
            kind = letters.partition(b'"')[0].decode(errors="replace")
            full = next((each for each in OUT_TYPES if each[:15] == kind), "other")
            messages.labels("out", full).inc(sent)


def observe_delivery(committed_at: Iterable[float]) -> None:
    """Observe the latency of events that were just written to a room; commit times in seconds since 1970."""
    now = clock.now().timestamp()
    for at in committed_at:
        delivery_seconds.observe(max(0.0, now - at))


def count_limited(limit: str) -> None:
    """Count a socket or frame that a limit refused."""
    _limited.labels(limit).inc()


def count_close(code: int) -> None:
    """Count a socket that the server closed with a code of the protocol."""
    _closed.labels(str(code)).inc()
    if code == _SLOW_CONSUMER:
        slow_consumers.inc()


def count_recheck(outcome: str) -> None:
    """Count the re-check of a socket's credential, by outcome: kept, changed or revoked."""
    _rechecks.labels(outcome).inc()
