"""What this room measures itself: requests, queries, and the process."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# 0.2 s stands among the bounds: the promise about latency is exact there; 0.1 s is that about queries.
LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
_QUERY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

requests: Final = Counter(
    "http_requests_total",
    "Requests answered by Django, by the template of their route.",
    ["method", "route", "status"],
)
request_seconds: Final = Histogram(
    "http_request_duration_seconds",
    "How long an answer took, a streamed one until it began.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS,
)
query_seconds: Final = Histogram(
    "db_query_duration_seconds", "How long PostgreSQL took for a query.", buckets=_QUERY_BUCKETS
)
slow_queries: Final = Counter("db_slow_queries_total", "Queries that took longer than SLOW_QUERY_MS.")
pool_connections: Final = Gauge(
    "db_pool_connections",
    "Database connections of a process, in use and idle, and requests that wait for one.",
    ["process", "state"],
    multiprocess_mode="livemax",
)
loop_lag: Final = Gauge(
    "event_loop_lag_seconds",
    "The longest that the event loop of a process was late in the last seconds.",
    ["process"],
    multiprocess_mode="livemax",
)


# Without a failure there would be no series of failures, and no rate of errors either.
requests.labels("GET", "unmatched", "500")


def method_label(method: str | None) -> str:
    """Return the method as a label: anything that HTTP does not name is OTHER."""
    return method if method in METHODS else "OTHER"


def observe_request(*, method: str | None, route: str, status: int, seconds: float) -> None:
    """Count one answer."""
    method = method_label(method)
    requests.labels(method, route, str(status)).inc()
    request_seconds.labels(method, route).observe(seconds)
