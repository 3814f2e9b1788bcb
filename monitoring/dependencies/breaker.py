"""Circuit breakers, and one gauge for the state of every dependency: see docs/decisions/0043.

A breaker is *closed* while its dependency answers and lets every call pass. The first failure opens it: a call to
Redis fails only after its deadline of 0.3 s, so a second proof would cost every request that much again. While it
is *open* it refuses calls. After `reset_seconds` it is *half-open*: one call is let through as a trial, whose
outcome closes the breaker or opens it again. A trial that never reports is replaced by another after
`reset_seconds` more.

What is probed instead of called (the checks of health, the subscription to hints, the exchange between hosts)
refuses nothing and only reports: `report_state`.
"""

import enum
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from monitoring import metrics
from monitoring.prometheus import multiprocess

_log = structlog.get_logger("monitoring.breaker")
RESET_SECONDS: Final = 1.0


class BreakerState(enum.IntEnum):
    """The states of a circuit breaker, as the gauge shows them."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Refuses calls to a dependency that fails; safe for threads and event loops.

    Call the dependency only after `allows_call()`, and report with `record_success()` or `record_failure()`.
    """

    def __init__(
        self,
        dependency: str,
        *,
        consequence: str,
        reset_seconds: float = RESET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start closed. `dependency` names the series of the gauge, `consequence` says in the log what is lost."""
        self._dependency, self._consequence = dependency, consequence
        self._reset_seconds, self._clock = reset_seconds, clock
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        # A time of the clock; 0.0 while the breaker is closed, which the fast paths read without the lock.
        self._retry_at = 0.0
        report_state(dependency, self._state)

    @property
    def state(self) -> BreakerState:
        """The current state; an open breaker whose time is up stays open until a call asks."""
        return self._state

    def allows_call(self) -> bool:
        """Return whether the dependency may be called now; while it fails, one trial every `reset_seconds`."""
        if not self._retry_at:
            return True
        with self._lock:
            if not self._retry_at:
                return True
            now = self._clock()
            if now < self._retry_at:
                return False
            # A lease: the trial may be cancelled before it reports.
            self._retry_at = now + self._reset_seconds
            self._state = BreakerState.HALF_OPEN
            report_state(self._dependency, self._state)
        _log.debug("circuit breaker is half-open", dependency=self._dependency)
        return True

    def record_success(self) -> None:
        """Report that the dependency has answered."""
        if not self._retry_at:
            return
        with self._lock:
            was_closed = not self._retry_at
            self._close()
        if not was_closed:
            _log.warning("circuit breaker is closed: the dependency answers again", dependency=self._dependency)

    def record_failure(self, error: BaseException | None = None) -> None:
        """Report that the dependency has failed or has not answered in time."""
        with self._lock:
            previous, self._state = self._state, BreakerState.OPEN
            self._retry_at = self._clock() + self._reset_seconds
            report_state(self._dependency, self._state)
        # A failed trial is no news: the line at each edge is enough for an outage of hours.
        log = _log.warning if previous is BreakerState.CLOSED else _log.debug
        log(
            "circuit breaker is open",
            dependency=self._dependency,
            consequence=self._consequence,
            **({} if error is None else {"error": repr(error)[:300]}),
        )

    def reset(self) -> None:
        """Close without a call, as after a restart."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        """Close; the lock is held."""
        self._state, self._retry_at = BreakerState.CLOSED, 0.0
        report_state(self._dependency, self._state)


_reported: Final[dict[str, BreakerState]] = {}


def report_state(dependency: str, state: BreakerState) -> None:
    """Show the state of a dependency of this process in the gauge; a call that changes nothing is cheap.

    What is closed from the start is shown once the process has a name: until then it may fork, and its children
    would inherit the series.
    """
    previous = _reported.get(dependency)
    if previous is state:
        return
    _reported[dependency] = state
    if previous is not None or state is not BreakerState.CLOSED or multiprocess.has_name():
        _set_gauge(dependency, state)


def publish_states() -> None:
    """Show every dependency in the gauge, under the name that this process has just got."""
    for dependency, state in list(_reported.items()):
        _set_gauge(dependency, state)


def _set_gauge(dependency: str, state: BreakerState) -> None:
    metrics.breaker_state.labels(dependency, multiprocess.process_name()).set(state)


# Limits and caches share one: a request pays for a Redis that does not answer once.
redis_breaker: Final = CircuitBreaker(
    "redis", consequence="limits are counted by this process alone, and caches miss"
)
