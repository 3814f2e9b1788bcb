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

_log = structlog.get_logger("monitoring.health")
# A freeze is noticed after at most one pause and one deadline: under 3 seconds.
PAUSE_SECONDS: Final = 0.75
DEADLINE_SECONDS: Final = 1.5
# Findings older than this mean that the thread itself is stuck.
_STALE_SECONDS: Final = 6.0


@dataclass(frozen=True)
class Part:
    """Something that Freight leans on. Without a vital part it is not ready, without another only degraded.

    `ready` tells about it unless told not to; detailed health may show it under another name.
    """

    name: str
    check: HealthCheck
    vital: bool = False
    told: bool = True
    shown: str = ""


@dataclass
class _Probe:
    """One part under watch."""

    part: Part
    task: "asyncio.Task[tuple[str | None, float]] | None" = None
    finding: str | None = "not checked yet"
    latency_ms: float | None = None


@dataclass(frozen=True)
class Findings:
    """What is wrong with each part (None: nothing), when that was seen, and how long each check took."""

    wrong: Mapping[str, str | None] = field(default_factory=dict)
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    at: float = 0.0


class Watch:
    """The thread that looks after the parts of one process; starts on first use, ends when told or with it."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self.findings = Findings()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """This will start the thread unless it runs. Never before a fork."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="health", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """This will end the thread after its present look, for good."""
        self._stopped.set()

    @property
    def fresh(self) -> bool:
        """Whether the findings are of now."""
        return time.monotonic() - self.findings.at < _STALE_SECONDS

    def _run(self) -> None:
        asyncio.run(self._look_after())

    async def _look_after(self) -> None:
        probes = [_Probe(part) for part in self.parts]
        with ThreadPoolExecutor(max(1, len(probes)), thread_name_prefix="health") as executor:
            while not self._stopped.is_set():
                await self._look(probes, executor)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _look(self, probes: list[_Probe], executor: ThreadPoolExecutor) -> None:
        for probe in probes:
            if probe.task is None:
                probe.task = asyncio.create_task(_finding(probe.part.check, executor))
        await asyncio.wait([probe.task for probe in probes if probe.task], timeout=DEADLINE_SECONDS)
        for probe in probes:
            self._settle(probe)
        self.findings = Findings(
            wrong={probe.part.name: probe.finding for probe in probes},
            latency_ms={probe.part.name: probe.latency_ms for probe in probes},
            at=time.monotonic(),
        )

    def _settle(self, probe: _Probe) -> None:
        before = probe.finding
        if probe.task is not None and probe.task.done():
            probe.finding, probe.latency_ms = probe.task.result()
            probe.task = None
        else:
            probe.finding = "does not answer"
        if probe.finding != before:
            _log.warning("health changed", part=probe.part.name, wrong=probe.finding)


async def _finding(check: HealthCheck, executor: ThreadPoolExecutor) -> tuple[str | None, float]:
    """This will return what is wrong, in words fit for strangers, or None; and how many milliseconds it took."""
    began = time.monotonic()
    finding = await _found(check, executor)
    return finding, round((time.monotonic() - began) * 1000, 1)


async def _found(check: HealthCheck, executor: ThreadPoolExecutor) -> str | None:
    try:
        if inspect.iscoroutinefunction(check.run):
            await check.run()
        else:
            await asyncio.get_running_loop().run_in_executor(executor, check.run)
    except HealthCheckException as error:
        return str(error.message)
    except Exception:  # noqa: BLE001  whatever a check raises, it means that the part is not well
        if threading.main_thread().is_alive():  # else the interpreter is going, and its pools with it
            _log.warning("health check broke", check=type(check).__name__, exc_info=True)
        return "cannot be checked"
    return None
