"""Health: asked by balancers, answered at once from what a background thread knows.

Checks of django-health-check run one at a time each, in a thread with an event loop of its own. A check
that does not come back is not waited for: it counts as failed from its deadline until it returns, so a
frozen PostgreSQL or Redis costs an answer nothing.
"""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from django.conf import settings
from health_check.base import HealthCheck
from health_check.exceptions import HealthCheckException

from monitoring import addresses, detail, runtime
from monitoring.middleware import accepted_or_new

_log = structlog.get_logger("monitoring.health")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Django and Channels each spell the three differently.
Application = Callable[[Any, Any, Any], Awaitable[None]]

# A freeze is noticed after at most one pause and one deadline: under 3 seconds.
PAUSE_SECONDS: Final = 0.75
DEADLINE_SECONDS: Final = 1.5
# Findings older than this mean that the thread itself is stuck.
_STALE_SECONDS: Final = 6.0
_FIRST_ANSWER_SECONDS: Final = 2.0

_started = time.monotonic()
_draining = threading.Event()
_applications: "list[HealthApplication]" = []


def drain() -> None:
    """This will make `ready` say no from now on: the process is going to stop."""
    _draining.set()


def draining() -> bool:
    """This will tell whether the process is going to stop."""
    return _draining.is_set()


def wrong() -> Mapping[str, str | None]:
    """This will return what is wrong with each part (None: nothing) as this process last saw it."""
    return _applications[-1].watch.findings.wrong if _applications else {}


def started_at() -> float:
    """This will return when this process began, in seconds since 1970."""
    return time.time() - (time.monotonic() - _started)


def detailed(path: str) -> tuple[int, dict[str, Any]]:
    """This will return status and body of a detailed answer, for who is let in by a key."""
    if not _applications:
        return 503, {"status": "unhealthy", "checks": {}, "issues": ["the checks do not run"]}
    return _applications[-1].inside[path]()


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


class HealthApplication:
    """Answers health before Django, the detailed kind to the network inside; hands on the rest."""

    def __init__(
        self,
        inner: Application,
        *,
        parts: Sequence[Part],
        version: str,
        environment: str,
        facts: Mapping[str, detail.Fact] | None = None,
    ) -> None:
        self.inner = inner
        self.facts = facts or {}
        self.watch = Watch(parts)
        _applications[:] = [self]
        self.version = version
        self.environment = environment
        self._answers: dict[str, Callable[[], tuple[int, dict[str, Any]]]] = {
            "/api/health": self._health,
            "/api/health/live": self._live,
            "/api/health/ready": self._ready,
        }
        self.inside: dict[str, Callable[[], tuple[int, dict[str, Any]]]] = {
            "/api/health/detailed": self._detailed,
            "/api/metrics/health": self._brief,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime.watch_loop()
        answer = self._answer(scope) if scope["type"] == "http" else None
        if answer is None:
            await self.inner(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await _respond(scope, send, 405, _problem(405, "Method Not Allowed"), b"application/problem+json")
            return
        if answer not in {self._health, self._live}:
            await self._first_findings()
        status, body = answer()
        await _respond(scope, send, status, body)

    def _answer(self, scope: Scope) -> Callable[[], tuple[int, dict[str, Any]]] | None:
        path = scope["path"].rstrip("/")
        inside = self.inside.get(path)
        if inside and addresses.is_within(addresses.meta_of(scope), settings.METRICS_ALLOWED_NETWORKS):
            return inside
        return self._answers.get(path)

    async def _first_findings(self) -> None:
        self.watch.start()
        give_up = time.monotonic() + _FIRST_ANSWER_SECONDS
        # The findings come from another thread: an Event of this loop could not be set from there.
        while not self.watch.findings.at and time.monotonic() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _health(self) -> tuple[int, dict[str, Any]]:
        return 200, {
            "ok": True,
            "status": "ok",
            "service": "freight-api",
            "version": self.version,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "uptime": round(time.monotonic() - _started, 3),
            "environment": self.environment,
        }

    def _live(self) -> tuple[int, dict[str, Any]]:
        return 200, {"alive": True, "status": "alive"}

    def _ready(self) -> tuple[int, dict[str, Any]]:
        wrong = {name: finding for name, finding in self.watch.findings.wrong.items() if finding}
        failed = {part.name: wrong[part.name] for part in self.watch.parts if part.vital and part.name in wrong}
        if draining():
            failed["process"] = "draining"
        elif not self.watch.fresh:
            failed["process"] = "the checks do not run"
        quiet = {part.name for part in self.watch.parts if not part.told}
        degraded = sorted(set(wrong) - set(failed) - quiet)
        if failed:
            return 503, {"ready": False, "status": "not_ready", "failed": failed, "degraded": degraded}
        return 200, {"ready": True, "status": "ready", "degraded": degraded}

    def _detailed(self) -> tuple[int, dict[str, Any]]:
        began = time.perf_counter()
        found = detail.checks(self.watch, self.facts, draining=draining())
        took = (time.perf_counter() - began) * 1000
        body = detail.body(found, uptime=time.monotonic() - _started, took_ms=took)
        return 503 if body["status"] == "unhealthy" else 200, body

    def _brief(self) -> tuple[int, dict[str, Any]]:
        found = detail.checks(self.watch, self.facts, draining=draining())
        return 200, detail.brief(found, uptime=time.monotonic() - _started)


def _problem(status: int, title: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": title, "status": status}


async def _respond(
    scope: Scope, send: Send, status: int, body: dict[str, Any], content_type: bytes = b"application/json"
) -> None:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    encoded = orjson.dumps(body)
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(encoded)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", accepted_or_new(given.decode("latin-1")).encode()),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else encoded})
