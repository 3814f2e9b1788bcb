"""How long a request waits for PostgreSQL and for Redis, and connections that keep to it.

PostgreSQL (docs/decisions/0031): libpq waits without end, and a unix socket has no timeout. A serving process has
the database end its statements after STATEMENT_TIMEOUT_SECONDS. A silence of DATABASE_TIMEOUT_SECONDS therefore
means that the database is frozen or gone, not that it works: the connection is closed and the statement fails. The
outcome of a COMMIT that was under way is unknown. Once the health check knows of it (`database_outage`), what waits
is given up and what comes is refused at once.

Redis (docs/decisions/0033): a timeout of the client holds for one wait, and a command has several (connect, each
line of the handshake, the reply). A Redis that is slow instead of gone fails none of them, so no breaker opens, and
the waits of a request add up to seconds. Here the waits of a command share one deadline, and the slow commands of a
request one budget.

Import nothing of Freight here: the settings need this module before Django is set up.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow
from psycopg.waiting import READY_NONE
from redis import Connection, ConnectionPool
from redis.connection import AbstractConnection
from redis.exceptions import TimeoutError as RedisTimeoutError

STATEMENT_TIMEOUT_SECONDS: Final = 3.5
DATABASE_TIMEOUT_SECONDS: Final = 4.0
_POLL_SECONDS: Final = 0.1
_UNWATCHED_SECONDS: Final = 0.25

REDIS_CONNECT_TIMEOUT_SECONDS: Final = 0.2
# One command, connecting included.
REDIS_COMMAND_TIMEOUT_SECONDS: Final = 0.3
# All slow commands of one request; a reply within _SLOW_REPLY_SECONDS costs nothing of it.
REDIS_REQUEST_BUDGET_SECONDS: Final = 0.45
_SLOW_REPLY_SECONDS: Final = 0.05


@dataclass(slots=True)
class RequestBudget:
    """How long one request may still wait; its threads and tasks share it.

    The database may be silent for `database_seconds` in each wait: every answer restores them, but once they are
    exhausted the request does not ask it again. Slow replies of Redis add up and are never restored.
    """

    database_seconds: float = DATABASE_TIMEOUT_SECONDS
    database_exhausted: bool = False
    redis_spent_seconds: float = 0.0

    @property
    def database_remaining(self) -> float:
        """How many seconds the next wait for the database may last."""
        return 0.0 if self.database_exhausted else self.database_seconds


@dataclass(slots=True)
class DatabaseOutage:
    """Whether PostgreSQL is known not to answer (`database_outage`): nothing waits for it then.

    `answered_at`: when it last answered anything, on the monotonic clock.
    """

    is_known: bool = False
    answered_at: float = float("-inf")


database_outage: Final = DatabaseOutage()

_request_budget: Final[ContextVar[RequestBudget | None]] = ContextVar("request_budget", default=None)
# On the monotonic clock. Two, so that a deadline of Redis does not end a wait for the database inside it.
_deadline_at: Final[ContextVar[float | None]] = ContextVar("database_deadline", default=None)
_redis_deadline_at: Final[ContextVar[float | None]] = ContextVar("redis_deadline", default=None)
# Of threads that serve no request; None: they wait as long as it takes.
_process_timeout: list[float | None] = [None]


@contextlib.contextmanager
def request_budget(database_seconds: float = DATABASE_TIMEOUT_SECONDS) -> Iterator[RequestBudget]:
    """Have all waits of the request that the block serves share one budget."""
    budget = RequestBudget(database_seconds)
    token = _request_budget.set(budget)
    try:
        yield budget
    finally:
        _request_budget.reset(token)


def _effective_timeout(deadline_at: float | None, *timeouts: float | None) -> float | None:
    """Return the shortest of the timeouts and of what is left until the deadline; None where nothing limits."""
    shortest = None if deadline_at is None else max(0.0, deadline_at - time.monotonic())
    for timeout in timeouts:
        if timeout is not None and (shortest is None or timeout < shortest):
            shortest = timeout
    return shortest


# -- PostgreSQL ---------------------------------------------------------------------------------------------


def set_process_timeout(seconds: float = DATABASE_TIMEOUT_SECONDS) -> None:
    """Limit every wait of this process for the database, also those of threads that serve no request."""
    _process_timeout[0] = seconds


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the waits of the block for the database after `seconds` together, or at an outer deadline."""
    outer_deadline = _deadline_at.get()
    deadline_at = time.monotonic() + seconds
    token = _deadline_at.set(deadline_at if outer_deadline is None else min(outer_deadline, deadline_at))
    try:
        yield
    finally:
        _deadline_at.reset(token)


@contextlib.contextmanager
def pool_checkout() -> Iterator[None]:
    """Have a pool find and test a connection within what is left of the request's budget.

    A pool hands out connections that answer: one that found none in time has none, so its OperationalError exhausts
    the budget.
    """
    budget = _request_budget.get()
    if database_outage.is_known:
        raise psycopg.OperationalError("The database is known not to answer.")
    remaining = budget.database_remaining if budget else _process_timeout[0]
    if remaining is None:
        yield
        return
    if not remaining:
        raise psycopg.OperationalError("The database has been given up in this request.")
    try:
        with deadline(remaining):
            yield
    except psycopg.OperationalError:
        if budget:
            budget.database_exhausted = True
        raise


class DeadlineConnection(psycopg.Connection[TupleRow]):
    """A connection of a thread, whose waits end with the budget of its request or the timeout of its process."""

    def wait(self, gen: PQGen[RV], interval: float = _POLL_SECONDS, timeout: float | None = None) -> RV:
        """Wait for the answer; close the connection and raise OperationalError where none comes in time."""
        budget = _request_budget.get()
        limit = _effective_timeout(
            _deadline_at.get(), timeout, budget.database_remaining if budget else _process_timeout[0]
        )
        try:
            try:
                result = super().wait(gen, interval, _first_wait(limit))
            except psycopg.errors._WaitTimeout:  # noqa: SLF001  it has no public name
                if not _goes_on(limit):
                    raise
                result = super().wait(_watch_outage(gen), interval, _second_wait(limit))
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  as above
            if budget:
                budget.database_exhausted = True
            raise _close_silent_connection(self, limit) from None
        database_outage.answered_at = time.monotonic()
        return result


class AsyncDeadlineConnection(psycopg.AsyncConnection[TupleRow]):
    """A connection of an event loop. Its tasks outlive the request that began them: each wait has its own limit."""

    answered_at = float("-inf")  # on the monotonic clock; set by the owner of a pool

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = _POLL_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109  the signature of psycopg
    ) -> RV:
        """Wait for the answer; close the connection and raise OperationalError where none comes in time."""
        limit = _effective_timeout(_deadline_at.get(), timeout, DATABASE_TIMEOUT_SECONDS)
        try:
            try:
                result = await super().wait(gen, interval, _first_wait(limit))
            except psycopg.errors._WaitTimeout:  # noqa: SLF001  it has no public name
                if not _goes_on(limit):
                    raise
                result = await super().wait(_watch_outage(gen), interval, _second_wait(limit))
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  as above
            raise _close_silent_connection(self, limit) from None
        database_outage.answered_at = time.monotonic()
        return result


def _first_wait(limit: float | None) -> float:
    """Return how long to wait without looking whether an outage is known: almost every answer comes in time."""
    return _UNWATCHED_SECONDS if limit is None else min(limit, _UNWATCHED_SECONDS)


def _goes_on(limit: float | None) -> bool:
    return limit is None or limit > _UNWATCHED_SECONDS


def _second_wait(limit: float | None) -> float | None:
    return None if limit is None else limit - _UNWATCHED_SECONDS


def _watch_outage(gen: PQGen[RV]) -> PQGen[RV]:
    """Go on with a generator that was interrupted; raise where PostgreSQL is known not to answer meanwhile."""
    try:
        state = gen.send(READY_NONE)
        while True:
            ready = yield state
            if not ready and database_outage.is_known:
                raise psycopg.errors._WaitTimeout("an outage is known")  # noqa: SLF001  as above
            state = gen.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result


def _close_silent_connection(
    connection: "psycopg.BaseConnection[Any]", limit: float | None
) -> psycopg.OperationalError:
    """Close a connection on which a late answer may still come, and return the error to raise."""
    connection.pgconn.finish()
    return psycopg.OperationalError(f"The database has said nothing for {limit:.1f} s; the connection was ended.")


# -- Redis --------------------------------------------------------------------------------------------------


def has_redis_budget() -> bool:
    """Return whether this request may still wait for Redis; outside of requests always."""
    budget = _request_budget.get()
    return budget is None or budget.redis_spent_seconds < REDIS_REQUEST_BUDGET_SECONDS - _SLOW_REPLY_SECONDS


def redis_timeout() -> float | None:
    """Return the seconds that this request may wait for its next command; None outside of requests."""
    budget = _request_budget.get()
    if budget is None:
        return None
    remaining = max(_SLOW_REPLY_SECONDS, REDIS_REQUEST_BUDGET_SECONDS - budget.redis_spent_seconds)
    return min(REDIS_COMMAND_TIMEOUT_SECONDS, remaining)


@contextlib.contextmanager
def redis_deadline() -> Iterator[None]:
    """End the command in the block in time and charge it to the request; raises redis' TimeoutError."""
    budget, started = _request_budget.get(), time.monotonic()
    token = _redis_deadline_at.set(started + (redis_timeout() or REDIS_COMMAND_TIMEOUT_SECONDS))
    try:
        yield
    finally:
        _redis_deadline_at.reset(token)
        elapsed = time.monotonic() - started
        if budget is not None and elapsed > _SLOW_REPLY_SECONDS:
            budget.redis_spent_seconds += elapsed


def _redis_socket_timeout(configured: float | None) -> float | None:
    timeout = _effective_timeout(_redis_deadline_at.get(), configured)
    if timeout is not None and timeout <= 0:
        raise RedisTimeoutError("Redis has not answered in time.")
    return timeout


class _DeadlineRedisConnection(AbstractConnection):
    """A connection whose waits share the deadline of their command."""

    def _connect(self) -> Any:
        configured = self.socket_connect_timeout
        self.socket_connect_timeout = _redis_socket_timeout(configured)
        try:
            return super()._connect()  # type: ignore[no-untyped-call, safe-super]  # untyped; a subclass implements it
        finally:
            self.socket_connect_timeout = configured

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply; without one in time close the connection, on which it may still come."""
        try:
            remaining = _redis_socket_timeout(self.socket_timeout)
        except RedisTimeoutError:
            self.disconnect()  # type: ignore[no-untyped-call]  # the library is untyped
            raise
        open_socket: Any = self._sock
        if open_socket is not None:
            open_socket.settimeout(remaining)
        return super().read_response(*arguments, **options)  # type: ignore[no-untyped-call]  # the library is untyped


class DeadlineConnectionPool(ConnectionPool):
    """A pool of such connections, of whatever kind (TCP, TLS, unix socket) its URL asks for."""

    def __init__(self, connection_class: Any = Connection, **options: Any) -> None:
        super().__init__(_with_deadline(connection_class), **options)


@cache
def _with_deadline(kind: type) -> type:
    return type(f"Deadline{kind.__name__}", (_DeadlineRedisConnection, kind), {})
