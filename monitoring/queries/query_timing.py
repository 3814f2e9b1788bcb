"""Times every query of Django, and records those that take longer than SLOW_QUERY_MS."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import structlog
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest

from monitoring import metrics
from monitoring.queries import slow_queries
from monitoring.sql_text import normalise_sql
from monitoring.tracing import trace_context

_log = structlog.get_logger("monitoring.slow")
# What this thread or task works for; set by the middleware and the relay, read when a query was slow.
request: Final[ContextVar[HttpRequest | None]] = ContextVar("request", default=None)
task_name: Final[ContextVar[str]] = ContextVar("task_name", default="")

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


def install_timing() -> None:
    """Time the queries of every connection that Django opens from now on."""
    connection_created.connect(_add_timing_wrapper, dispatch_uid="monitoring.queries")


def observe_query(sql: object, seconds: float) -> None:
    """Record the duration of a query; never waits and never raises."""
    metrics.query_seconds.observe(seconds)
    trace_context.record_query(sql, seconds)
    if seconds * 1000 >= settings.SLOW_QUERY_MS:
        metrics.slow_queries.inc()
        text, route = sql if isinstance(sql, str) else str(sql), _route()
        slow_queries.record(text, seconds=seconds, route=route)
        # The query log: with SLOW_QUERY_MS=1 nearly every query has its line, with the request's trace_id.
        _log.info("slow query", sql=normalise_sql(text), duration_ms=round(seconds * 1000, 1), route=route)


def _add_timing_wrapper(connection: BaseDatabaseWrapper, **_: object) -> None:
    if _timing_wrapper not in connection.execute_wrappers:
        connection.execute_wrappers.append(_timing_wrapper)


def _timing_wrapper(execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:  # noqa: FBT001  Django passes the five by position
    started = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        observe_query(sql, time.perf_counter() - started)


def _route() -> str:
    current_request = request.get()
    if current_request is None:
        return task_name.get() or "-"
    match = current_request.resolver_match
    return f"/{match.route}" if match else "unmatched"
