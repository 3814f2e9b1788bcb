"""Checks the dependencies of a process in a background thread, so that a health request waits for nothing.

The checks of django-health-check run side by side, each one at a time, in a thread with its own event loop. A check
that does not return is not waited for: it counts as failed from its deadline until it returns, so a frozen
PostgreSQL or Redis does not delay an answer.
"""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import structlog
from health_check.base import HealthCheck
from health_check.exceptions import HealthCheckException

from monitoring.dependencies.breaker import BreakerState, report_state
from monitoring.dependencies.probes import DOES_NOT_ANSWER

_log = structlog.get_logger("monitoring.health")
# A freeze shows after at most one interval and one timeout: within 3 seconds.
INTERVAL_SECONDS: Final = 0.75
CHECK_TIMEOUT_SECONDS: Final = 1.5
# Results older than this mean that the thread itself is stuck.
_STALE_SECONDS: Final = 6.0


@dataclass(frozen=True)
class Dependency:
    """A dependency of the process: without a `required` one it is not ready, without another only degraded.

    `is_remote`: it is another server, whose state the gauge of circuit breakers shows as `health_<name>`.
    `shown_in_ready`: `ready` lists it as degraded. `detail_name`: its name in detailed health, where it differs.
    `on_result`: called with the error of each round, None where the dependency works.
    """

    name: str
    check: HealthCheck
    required: bool = False
    is_remote: bool = False
    shown_in_ready: bool = True
    detail_name: str = ""
    on_result: Callable[[str | None], None] | None = None


@dataclass
class _RunningCheck:
    """The check of one dependency and its last result."""

    dependency: Dependency
    task: "asyncio.Task[tuple[str | None, float]] | None" = None
    error: str | None = "not checked yet"
    latency_ms: float | None = None


@dataclass(frozen=True)
class CheckResults:
    """The error of each dependency (None: it works), and when they were checked on the monotonic clock."""

    errors: Mapping[str, str | None] = field(default_factory=dict)
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    checked_at: float = 0.0


# The one that was made last: metrics and reports read it.
_current: "list[HealthMonitor]" = []


def current_monitor() -> "HealthMonitor | None":
    """Return the monitor of this process, None where there is none."""
    return _current[-1] if _current else None


def dependency_errors() -> Mapping[str, str | None]:
    """Return the last known error of each dependency of this process, None where it works."""
    return _current[-1].results.errors if _current else {}


class HealthMonitor:
    """The background thread of one process; it starts on first use and ends with `stop` or the process."""

    def __init__(self, dependencies: Sequence[Dependency]) -> None:
        self.dependencies = tuple(dependencies)
        self.results = CheckResults()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        _current[:] = [self]

    def start(self) -> None:
        """Start the thread unless it runs. Never before a fork."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="health", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread after its current round of checks, for good."""
        self._stopped.set()

    @property
    def is_fresh(self) -> bool:
        """Whether the results are recent."""
        return time.monotonic() - self.results.checked_at < _STALE_SECONDS

    def _run(self) -> None:
        asyncio.run(self._poll_forever())

    async def _poll_forever(self) -> None:
        running = [_RunningCheck(each) for each in self.dependencies]
        with ThreadPoolExecutor(max(1, len(running)), thread_name_prefix="health") as executor:
            while not self._stopped.is_set():
                await self._run_checks(running, executor)
                await asyncio.sleep(INTERVAL_SECONDS)

    async def _run_checks(self, running: list[_RunningCheck], executor: ThreadPoolExecutor) -> None:
        for check in running:
            if check.task is None:
                check.task = asyncio.create_task(_timed_check(check.dependency.check, executor))
        await asyncio.wait([check.task for check in running if check.task], timeout=CHECK_TIMEOUT_SECONDS)
        for check in running:
            self._collect_result(check)
        self.results = CheckResults(
            errors={check.dependency.name: check.error for check in running},
            latency_ms={check.dependency.name: check.latency_ms for check in running},
            checked_at=time.monotonic(),
        )

    def _collect_result(self, check: _RunningCheck) -> None:
        previous = check.error
        if check.task is not None and check.task.done():
            check.error, check.latency_ms = check.task.result()
            check.task = None
        else:
            check.error = DOES_NOT_ANSWER
        if check.dependency.on_result is not None:
            check.dependency.on_result(check.error)
        if check.dependency.is_remote:
            report_state(
                f"health_{check.dependency.name}", BreakerState.OPEN if check.error else BreakerState.CLOSED
            )
        if check.error != previous:
            _log.warning("health changed", dependency=check.dependency.name, error=check.error)


async def _timed_check(check: HealthCheck, executor: ThreadPoolExecutor) -> tuple[str | None, float]:
    """Return the error, in words that may be public, or None; and the milliseconds that the check took."""
    started = time.monotonic()
    error = await _check_error(check, executor)
    return error, round((time.monotonic() - started) * 1000, 1)


async def _check_error(check: HealthCheck, executor: ThreadPoolExecutor) -> str | None:
    try:
        if inspect.iscoroutinefunction(check.run):
            await check.run()
        else:
            await asyncio.get_running_loop().run_in_executor(executor, check.run)
    except HealthCheckException as error:
        return str(error.message)
    except Exception:  # noqa: BLE001  whatever a check raises is its result
        if threading.main_thread().is_alive():  # else the interpreter is shutting down, and its pools with it
            _log.warning("health check raised", check=type(check).__name__, exc_info=True)
        return "cannot be checked"
    return None
