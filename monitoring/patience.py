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

STATEMENT_SECONDS: Final = 3.5
SECONDS: Final = 4.0
_INTERVAL_SECONDS: Final = 0.1


@dataclass(slots=True)
class Patience:
    """What one request can bear: its waits share it, each answer restores it, and once it is lost it stays lost."""

    seconds: float
    lost: bool = False

    @property
    def left(self) -> float:
        """How long the next wait may last."""
        return 0.0 if self.lost else self.seconds


_mine: ContextVar[Patience | None] = ContextVar("patience", default=None)
_until: ContextVar[float | None] = ContextVar("patience_until", default=None)
# Of threads that work for no request; None: they wait as long as it takes.
_usual: list[float | None] = [None]


def limit_process(seconds: float = SECONDS) -> None:
    """This will have every wait of this process end, also those of threads that work for no request."""
    _usual[0] = seconds


@contextlib.contextmanager
def of_request(seconds: float = SECONDS) -> Iterator[Patience]:
    """This will have the threads of one request share their patience, from here to the end of the block."""
    mine = Patience(seconds)
    token = _mine.set(mine)
    try:
        yield mine
    finally:
        _mine.reset(token)


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """This will have all waits in the block end after so many seconds together, or with an outer block."""
    outer = _until.get()
    until = time.monotonic() + seconds
    token = _until.set(until if outer is None else min(outer, until))
    try:
        yield
    finally:
        _until.reset(token)


@contextlib.contextmanager
def checkout() -> Iterator[None]:
    """This will have a pool find and try its connections within the patience that is left.

    A pool hands out what answers: one that found nothing in time has none, and whoever asked it does not ask again.
    """
    mine = _mine.get()
    left = mine.left if mine else _usual[0]
    if left is None:
        yield
        return
    if not left:
        raise psycopg.OperationalError("The database has been given up in this request.")
    try:
        with at_most(left):
            yield
    except psycopg.OperationalError:
        if mine:
            mine.lost = True
        raise


class PatientConnection(psycopg.Connection[TupleRow]):
    """A connection whose waits come to an end."""

    def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> RV:
        """This will wait for the answer, and end the connection where none comes."""
        mine = _mine.get()
        limit = _soonest(timeout, mine.left if mine else _usual[0])
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  what `wait` is documented to raise
            if mine:
                mine.lost = True
            raise _ended(self, limit) from None


class PatientAsyncConnection(psycopg.AsyncConnection[TupleRow]):
    """The same for event loops, whose tasks outlive the request that began them: each wait has its own patience."""

    answered_at = float("-inf")  # noted by whoever keeps it in a pool, on the monotonic clock

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = _INTERVAL_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109  the driver's signature
    ) -> RV:
        """This will wait for the answer, and end the connection where none comes."""
        limit = _soonest(timeout, SECONDS)
        try:
            return await super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001
            raise _ended(self, limit) from None


def _soonest(*limits: float | None) -> float | None:
    until = _until.get()
    given = [each for each in limits if each is not None]
    if until is not None:
        given.append(max(0.0, until - time.monotonic()))
    return min(given, default=None)


def _ended(connection: "psycopg.BaseConnection[Any]", limit: float | None) -> psycopg.OperationalError:
    """This will end a connection, on which an answer may still come, and return the error to raise."""
    connection.pgconn.finish()
    return psycopg.OperationalError(f"The database has said nothing for {limit:.1f} s; the connection was ended.")
