"""How long anybody waits for Redis: one end for a whole question, and one for all questions of a request.

A timeout of the client holds for each wait by itself, and a question has several (connect, each line of the
handshake, the answer); a request asks several. So they add up, worst where Redis is slow rather than gone: nothing
fails, no breaker closes, and a request takes seconds. Here they share one end: see docs/decisions/0033.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from redis import Connection, ConnectionPool
from redis.connection import AbstractConnection
from redis.exceptions import TimeoutError as RedisTimeoutError

REDIS_CONNECT_TIMEOUT_SECONDS: Final = 0.2
# One question, connecting included.
REDIS_COMMAND_TIMEOUT_SECONDS: Final = 0.3
# All late questions of one request; what is answered sooner than this does not count.
REDIS_REQUEST_BUDGET_SECONDS: Final = 0.45
_SLOW_REPLY_SECONDS: Final = 0.05


@dataclass(slots=True)
class _RedisBudget:
    """What a request has waited for late answers."""

    spent_seconds: float = 0.0


_redis_budget: Final[ContextVar[_RedisBudget | None]] = ContextVar("waited_for_redis", default=None)
_redis_deadline_at: Final[ContextVar[float | None]] = ContextVar("waits_for_redis_until", default=None)


@contextlib.contextmanager
def redis_request_budget() -> Iterator[None]:
    """Have all that the request in the block asks Redis share one patience, in whatever thread."""
    token = _redis_budget.set(_RedisBudget())
    try:
        yield
    finally:
        _redis_budget.reset(token)


def has_redis_budget() -> bool:
    """Tell whether this request has patience left."""
    budget = _redis_budget.get()
    return budget is None or budget.spent_seconds < REDIS_REQUEST_BUDGET_SECONDS - _SLOW_REPLY_SECONDS


def redis_timeout() -> float | None:
    """Return the seconds that this request waits for its next question; None outside of requests."""
    budget = _redis_budget.get()
    return (
        None
        if budget is None
        else min(
            REDIS_COMMAND_TIMEOUT_SECONDS,
            max(_SLOW_REPLY_SECONDS, REDIS_REQUEST_BUDGET_SECONDS - budget.spent_seconds),
        )
    )


@contextlib.contextmanager
def redis_deadline() -> Iterator[None]:
    """Have the question in the block end in time: RedisTimeoutError is raised where no answer comes."""
    budget, started = _redis_budget.get(), time.monotonic()
    token = _redis_deadline_at.set(started + (redis_timeout() or REDIS_COMMAND_TIMEOUT_SECONDS))
    try:
        yield
    finally:
        _redis_deadline_at.reset(token)
        elapsed = time.monotonic() - started
        if budget is not None and elapsed > _SLOW_REPLY_SECONDS:
            budget.spent_seconds += elapsed


def _remaining_timeout(configured: float | None) -> float | None:
    deadline_at = _redis_deadline_at.get()
    if deadline_at is None:
        return configured
    remaining = deadline_at - time.monotonic()
    if remaining <= 0:
        raise RedisTimeoutError("Redis has not answered in time.")
    return remaining if configured is None else min(configured, remaining)


class _DeadlineConnection(AbstractConnection):
    """A connection whose waits end together."""

    def _connect(self) -> Any:
        configured = self.socket_connect_timeout
        self.socket_connect_timeout = _remaining_timeout(configured)
        try:
            return super()._connect()  # type: ignore[no-untyped-call, safe-super]
        finally:
            self.socket_connect_timeout = configured

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read an answer; without one in time the connection is ended, on which it may still come."""
        try:
            remaining = _remaining_timeout(self.socket_timeout)
        except RedisTimeoutError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise
        open_socket: Any = self._sock
        if open_socket is not None:
            open_socket.settimeout(remaining)
        return super().read_response(*arguments, **options)  # type: ignore[no-untyped-call]


class DeadlineConnectionPool(ConnectionPool):
    """A pool of such connections, of whatever kind its URL asks for."""

    def __init__(self, connection_class: Any = Connection, **options: Any) -> None:
        super().__init__(_with_deadline(connection_class), **options)


@cache
def _with_deadline(kind: type) -> type:
    return type(f"Patient{kind.__name__}", (_DeadlineConnection, kind), {})
