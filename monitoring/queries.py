"""Times every query; one that takes too long is handed over to whoever keeps the slow ones."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest

from monitoring import metrics, slow, tracing

# What this thread or task works for; set by the middleware, read when a query was slow.
request: Final[ContextVar[HttpRequest | None]] = ContextVar("request", default=None)
work: Final[ContextVar[str]] = ContextVar("work", default="")

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


def watch() -> None:
    """This will time the queries of every connection that Django opens from now on."""
    connection_created.connect(_watch_connection, dispatch_uid="monitoring.queries")


def observe(sql: object, seconds: float) -> None:
    """This will note how long a query took; it never waits and never raises."""
    metrics.query_seconds.observe(seconds)
    tracing.query(sql, seconds)
    if seconds * 1000 >= settings.SLOW_QUERY_MS:
        metrics.slow_queries.inc()
        slow.record(sql if isinstance(sql, str) else str(sql), seconds=seconds, route=_route())


def _watch_connection(connection: BaseDatabaseWrapper, **_: object) -> None:
    if _timed not in connection.execute_wrappers:
        connection.execute_wrappers.append(_timed)


def _timed(execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:  # noqa: FBT001  Django's signature
    started = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        observe(sql, time.perf_counter() - started)


def _route() -> str:
    asking = request.get()
    if asking is None:
        return work.get() or "-"
    match = asking.resolver_match
    return f"/{match.route}" if match else "unmatched"
