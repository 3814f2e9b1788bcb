"""The thread that looks after what Freight leans on, so that a question about health waits for nothing.

Checks of django-health-check run one at a time each, in a thread with an event loop of its own. A check
that does not come back is not waited for: it counts as failed from its deadline until it returns, so a
frozen PostgreSQL or Redis costs an answer nothing.
"""

import asyncio
import inspect
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import structlog
from health_check.base import HealthCheck
from health_check.exceptions import HealthCheckException

_log = structlog.get_logger("monitoring.health.endpoints")
# A freeze is noticed after at most one pause and one deadline: under 3 seconds.
INTERVAL_SECONDS: Final = 0.75
CHECK_TIMEOUT_SECONDS: Final = 1.5
# Findings older than this mean that the thread itself is stuck.
_STALE_SECONDS: Final = 6.0


@dataclass(frozen=True)
class Dependency:
    """Something that Freight leans on. Without a vital part it is not ready, without another only degraded.

    `ready` tells about it unless told not to; detailed health may show it under another name.
    """

    name: str
    check: HealthCheck
    required: bool = False
    shown_in_ready: bool = True
    detail_name: str = ""


@dataclass
class _RunningCheck:
    """One part under watch."""

    dependency: Dependency
    task: "asyncio.Task[tuple[str | None, float]] | None" = None
    error: str | None = "not checked yet"
    latency_ms: float | None = None


@dataclass(frozen=True)
class CheckResults:
    """What is wrong with each part (None: nothing), when that was seen, and how long each check took."""

    errors: Mapping[str, str | None] = field(default_factory=dict)
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    checked_at: float = 0.0


class HealthMonitor:
    """The thread that looks after the parts of one process; starts on first use, ends when told or with it."""

    def __init__(self, dependencies: Sequence[Dependency]) -> None:
        self.dependencies = tuple(dependencies)
        self.results = CheckResults()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread unless it runs. Never before a fork."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="health", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread after its present look, for good."""
        self._stopped.set()

    @property
    def is_fresh(self) -> bool:
        """Whether the findings are of now."""
        return time.monotonic() - self.results.checked_at < _STALE_SECONDS

    def _run(self) -> None:
        asyncio.run(self._poll_forever())

    async def _poll_forever(self) -> None:
        running = [_RunningCheck(part) for part in self.dependencies]
        with ThreadPoolExecutor(max(1, len(running)), thread_name_prefix="health") as executor:
            while not self._stopped.is_set():
                await self._run_checks(running, executor)
                await asyncio.sleep(INTERVAL_SECONDS)

    async def _run_checks(self, running: list[_RunningCheck], executor: ThreadPoolExecutor) -> None:
        for probe in running:
            if probe.task is None:
                probe.task = asyncio.create_task(_timed_check(probe.dependency.check, executor))
        await asyncio.wait([probe.task for probe in running if probe.task], timeout=CHECK_TIMEOUT_SECONDS)
        for probe in running:
            self._collect_result(probe)
        self.results = CheckResults(
            errors={probe.dependency.name: probe.error for probe in running},
            latency_ms={probe.dependency.name: probe.latency_ms for probe in running},
            checked_at=time.monotonic(),
        )

    def _collect_result(self, probe: _RunningCheck) -> None:
        previous = probe.error
        if probe.task is not None and probe.task.done():
            probe.error, probe.latency_ms = probe.task.result()
            probe.task = None
        else:
            probe.error = "does not answer"
        if probe.error != previous:
            _log.warning("health changed", part=probe.dependency.name, wrong=probe.error)


async def _timed_check(check: HealthCheck, executor: ThreadPoolExecutor) -> tuple[str | None, float]:
    """Return what is wrong, in words fit for strangers, or None; and how many milliseconds it took."""
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
    except Exception:
        if threading.main_thread().is_alive():  # else the interpreter is going, and its pools with it
            _log.warning("health check broke", check=type(check).__name__, exc_info=True)
        return "cannot be checked"
    return None
