"""Why the database did not serve a call: it is away, a row is locked, or all connections are in use."""

from typing import Final, NamedTuple

from psycopg_pool import PoolTimeout, TooManyRequests

from monitoring.health import monitor


class Outage(NamedTuple):
    """What a client is told: a code of `monitoring.problems.registry` and a sentence."""

    code: str
    detail: str


UNAVAILABLE: Final = Outage("unavailable", "The database does not answer just now; try again soon.")
LOCKED: Final = Outage("locked", "Somebody else is changing this; try again.")
BUSY: Final = Outage("busy", "All database connections are in use just now; try again soon.")
# PostgreSQL's error codes: lock_not_available, deadlock_detected, serialization_failure; too_many_connections.
_LOCKED_STATES: Final = frozenset({"55P03", "40P01", "40001"})
_BUSY_STATES: Final = frozenset({"53300"})


def explain(error: BaseException) -> Outage:
    """Return why a call failed, by an error of the database, its driver or its pool."""
    causes = (error, error.__cause__)
    states = {getattr(cause, "sqlstate", None) for cause in causes}
    if states & _LOCKED_STATES:
        return LOCKED
    if states & _BUSY_STATES:
        return BUSY
    # A pool gets no connection from a database that is away, either: the health check knows the difference.
    waited_for_pool = any(isinstance(cause, PoolTimeout | TooManyRequests) for cause in causes)
    is_up = monitor.dependency_errors().get("database", "not checked") is None
    return BUSY if waited_for_pool and is_up else UNAVAILABLE
