"""The metrics of this app: requests, queries, the process and its dependencies."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# 0.2 s and 0.1 s are bounds because they are the objectives for requests and queries: quantiles are exact there.
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
clock_skew: Final = Gauge(
    "clock_skew_seconds",
    "By how much the clock of a process' host is ahead of PostgreSQL's; negative where it is behind.",
    ["process"],
    multiprocess_mode="livemostrecent",
)
breaker_state: Final = Gauge(
    "dependency_breaker_state",
    "Whether a dependency of a process answers: 0 closed (it does), 1 half-open (a trial is under way), 2 open.",
    ["dependency", "process"],
    multiprocess_mode="livemax",
)

process_crashes: Final = Counter(
    "process_crashes_total", "Processes that crashed or were killed, by the name of the process.", ["process"]
)
relay_worker_stalled: Final = Gauge(
    "relay_worker_stalled_seconds",
    "For how long a worker of the relay has finished no batch, beyond its pause between two.",
    ["worker"],
    multiprocess_mode="livemax",
)

# Create the series of failures at once: without it there is no error rate before the first failure.
requests.labels("GET", "unmatched", "500")


def method_label(method: str | None) -> str:
    """Return the method as a label: OTHER for methods that HTTP does not define."""
    return method if method in METHODS else "OTHER"


def observe_request(*, method: str | None, route: str, status: int, seconds: float) -> None:
    """Count one response and its duration."""
    method = method_label(method)
    requests.labels(method, route, str(status)).inc()
    request_seconds.labels(method, route).observe(seconds)
