"""A database that says nothing is given up: libpq waits without end, and a unix socket has no timeout.

A process that serves has the database end its statements after STATEMENT_SECONDS. Silence that lasts longer than
SECONDS therefore means that the database is frozen or gone, and not that it works: the connection is ended and the
statement fails. What was being committed then has an unknown outcome.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow

STATEMENT_TIMEOUT_SECONDS: Final = 3.5
DATABASE_TIMEOUT_SECONDS: Final = 4.0
_POLL_SECONDS: Final = 0.1


@dataclass(slots=True)
class RequestBudget:
    """What one request can bear: its waits share it, each answer restores it, and once it is lost it stays lost."""

    seconds: float
    exhausted: bool = False

    @property
    def remaining(self) -> float:
        """How long the next wait may last."""
        return 0.0 if self.exhausted else self.seconds


_request_budget: ContextVar[RequestBudget | None] = ContextVar("patience", default=None)
_deadline_at: ContextVar[float | None] = ContextVar("patience_until", default=None)
# Of threads that work for no request; None: they wait as long as it takes.
_process_timeout: list[float | None] = [None]


def set_process_timeout(seconds: float = DATABASE_TIMEOUT_SECONDS) -> None:
    """Have every wait of this process end, also those of threads that work for no request."""
    _process_timeout[0] = seconds


@contextlib.contextmanager
def database_request_budget(seconds: float = DATABASE_TIMEOUT_SECONDS) -> Iterator[RequestBudget]:
    """Have the threads of one request share their patience, from here to the end of the block."""
    budget = RequestBudget(seconds)
    token = _request_budget.set(budget)
    try:
        yield budget
    finally:
        _request_budget.reset(token)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Have all waits in the block end after so many seconds together, or with an outer block."""
    outer_deadline = _deadline_at.get()
    deadline_at = time.monotonic() + seconds
    token = _deadline_at.set(deadline_at if outer_deadline is None else min(outer_deadline, deadline_at))
    try:
        yield
    finally:
        _deadline_at.reset(token)


@contextlib.contextmanager
def pool_checkout() -> Iterator[None]:
    """Have a pool find and try its connections within the patience that is left.

    A pool hands out what answers: one that found nothing in time has none, and whoever asked it does not ask again.
    """
    budget = _request_budget.get()
    remaining = budget.remaining if budget else _process_timeout[0]
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
            budget.exhausted = True
        raise


class DeadlineConnection(psycopg.Connection[TupleRow]):
    """A connection whose waits come to an end."""

    def wait(self, gen: PQGen[RV], interval: float = _POLL_SECONDS, timeout: float | None = None) -> RV:
        """Wait for the answer, and end the connection where none comes."""
        budget = _request_budget.get()
        limit = _effective_timeout(timeout, budget.remaining if budget else _process_timeout[0])
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout:
            if budget:
                budget.exhausted = True
            raise _close_silent_connection(self, limit) from None


class AsyncDeadlineConnection(psycopg.AsyncConnection[TupleRow]):
    """The same for event loops, whose tasks outlive the request that began them: each wait has its own patience."""

    answered_at = float("-inf")  # noted by whoever keeps it in a pool, on the monotonic clock

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = _POLL_SECONDS,
        timeout: float | None = None,
    ) -> RV:
        """Wait for the answer, and end the connection where none comes."""
        limit = _effective_timeout(timeout, DATABASE_TIMEOUT_SECONDS)
        try:
            return await super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout:
            raise _close_silent_connection(self, limit) from None


def _effective_timeout(*timeouts: float | None) -> float | None:
    deadline_at = _deadline_at.get()
    candidates = [each for each in timeouts if each is not None]
    if deadline_at is not None:
        candidates.append(max(0.0, deadline_at - time.monotonic()))
    return min(candidates, default=None)


def _close_silent_connection(
    connection: "psycopg.BaseConnection[Any]", limit: float | None
) -> psycopg.OperationalError:
    """End a connection, on which an answer may still come, and return the error to raise."""
    connection.pgconn.finish()
    return psycopg.OperationalError(f"The database has said nothing for {limit:.1f} s; the connection was ended.")
