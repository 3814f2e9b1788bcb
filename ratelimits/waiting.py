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

CONNECT_SECONDS: Final = 0.2
# One question, connecting included.
ASK_SECONDS: Final = 0.3
# All late questions of one request; what is answered sooner than this does not count.
REQUEST_SECONDS: Final = 0.45
_LATE_SECONDS: Final = 0.05


@dataclass(slots=True)
class _Waited:
    """What a request has waited for late answers."""

    seconds: float = 0.0


_mine: Final[ContextVar[_Waited | None]] = ContextVar("waited_for_redis", default=None)
_until: Final[ContextVar[float | None]] = ContextVar("waits_for_redis_until", default=None)


@contextlib.contextmanager
def of_request() -> Iterator[None]:
    """This will have all that the request in the block asks Redis share one patience, in whatever thread."""
    token = _mine.set(_Waited())
    try:
        yield
    finally:
        _mine.reset(token)


def may_ask() -> bool:
    """This will tell whether this request has patience left."""
    mine = _mine.get()
    return mine is None or mine.seconds < REQUEST_SECONDS - _LATE_SECONDS


def patience() -> float | None:
    """This will return the seconds that this request waits for its next question; None outside of requests."""
    mine = _mine.get()
    return None if mine is None else min(ASK_SECONDS, max(_LATE_SECONDS, REQUEST_SECONDS - mine.seconds))


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """This will have the question in the block end in time: RedisTimeoutError is raised where no answer comes."""
    mine, began = _mine.get(), time.monotonic()
    token = _until.set(began + (patience() or ASK_SECONDS))
    try:
        yield
    finally:
        _until.reset(token)
        took = time.monotonic() - began
        if mine is not None and took > _LATE_SECONDS:
            mine.seconds += took


def _shorter(usual: float | None) -> float | None:
    until = _until.get()
    if until is None:
        return usual
    left = until - time.monotonic()
    if left <= 0:
        raise RedisTimeoutError("Redis has not answered in time.")
    return left if usual is None else min(usual, left)


class _Patient(AbstractConnection):
    """A connection whose waits end together."""

    def _connect(self) -> Any:
        usual = self.socket_connect_timeout
        self.socket_connect_timeout = _shorter(usual)
        try:
            return super()._connect()  # type: ignore[no-untyped-call, safe-super]
        finally:
            self.socket_connect_timeout = usual

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """This will read an answer; without one in time the connection is ended, on which it may still come."""
        try:
            left = _shorter(self.socket_timeout)
        except RedisTimeoutError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise
        open_socket: Any = self._sock
        if open_socket is not None:
            open_socket.settimeout(left)
        return super().read_response(*arguments, **options)  # type: ignore[no-untyped-call]


class PatientPool(ConnectionPool):
    """A pool of such connections, of whatever kind its URL asks for."""

    def __init__(self, connection_class: Any = Connection, **options: Any) -> None:
        super().__init__(_patient(connection_class), **options)


@cache
def _patient(kind: type) -> type:
    return type(f"Patient{kind.__name__}", (_Patient, kind), {})
