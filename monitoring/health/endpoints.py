"""Health: asked by balancers, answered at once from what a background thread knows (`watch`)."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from django.conf import settings

from monitoring import addresses, runtime
from monitoring.health import details
from monitoring.health.monitor import Dependency, HealthMonitor
from monitoring.middleware import accept_or_generate_id

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Django and Channels each spell the three differently.
Application = Callable[[Any, Any, Any], Awaitable[None]]

_FIRST_RESULT_SECONDS: Final = 2.0

_started_at = time.monotonic()
_draining = threading.Event()
_instances: "list[HealthApplication]" = []


def start_draining() -> None:
    """Make `ready` say no from now on: the process is going to stop."""
    _draining.set()


def is_draining() -> bool:
    """Tell whether the process is going to stop."""
    return _draining.is_set()


def dependency_errors() -> Mapping[str, str | None]:
    """Return what is wrong with each part (None: nothing) as this process last saw it."""
    return _instances[-1].monitor.results.errors if _instances else {}


def process_started_at() -> float:
    """Return when this process began, in seconds since 1970."""
    return time.time() - (time.monotonic() - _started_at)


def detailed_response(path: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of a detailed answer, for who is let in by a key."""
    if not _instances:
        return 503, {"status": "unhealthy", "checks": {}, "issues": ["the checks do not run"]}
    return _instances[-1].internal_endpoints[path]()


class HealthApplication:
    """Answers health before Django, the detailed kind to the network inside; hands on the rest."""

    def __init__(
        self,
        inner: Application,
        *,
        dependencies: Sequence[Dependency],
        version: str,
        environment: str,
        detail_providers: Mapping[str, details.DetailProvider] | None = None,
    ) -> None:
        self.inner = inner
        self.detail_providers = detail_providers or {}
        self.monitor = HealthMonitor(dependencies)
        _instances[:] = [self]
        self.version = version
        self.environment = environment
        self._public_endpoints: dict[str, Callable[[], tuple[int, dict[str, Any]]]] = {
            "/api/health": self._health,
            "/api/health/live": self._live,
            "/api/health/ready": self._ready,
        }
        self.internal_endpoints: dict[str, Callable[[], tuple[int, dict[str, Any]]]] = {
            "/api/health/detailed": self._detailed,
            "/api/metrics/health": self._brief,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime.measure_loop_lag()
        endpoint = self._endpoint_for(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await self.inner(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await _respond(scope, send, 405, _problem(405, "Method Not Allowed"), b"application/problem+json")
            return
        if endpoint not in {self._health, self._live}:
            await self._wait_for_first_results()
        status, body = endpoint()
        await _respond(scope, send, status, body)

    def _endpoint_for(self, scope: Scope) -> Callable[[], tuple[int, dict[str, Any]]] | None:
        path = scope["path"].rstrip("/")
        internal_endpoint = self.internal_endpoints.get(path)
        if internal_endpoint and addresses.is_within(
            addresses.meta_from_scope(scope), settings.METRICS_ALLOWED_NETWORKS
        ):
            return internal_endpoint
        return self._public_endpoints.get(path)

    async def _wait_for_first_results(self) -> None:
        self.monitor.start()
        deadline = time.monotonic() + _FIRST_RESULT_SECONDS
        # The findings come from another thread: an Event of this loop could not be set from there.
        while not self.monitor.results.checked_at and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    def _health(self) -> tuple[int, dict[str, Any]]:
        return 200, {
            "ok": True,
            "status": "ok",
            "service": "freight-api",
            "version": self.version,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "uptime": round(time.monotonic() - _started_at, 3),
            "environment": self.environment,
        }

    def _live(self) -> tuple[int, dict[str, Any]]:
        return 200, {"alive": True, "status": "alive"}

    def _ready(self) -> tuple[int, dict[str, Any]]:
        errors = {name: finding for name, finding in self.monitor.results.errors.items() if finding}
        failures = {
            part.name: errors[part.name]
            for part in self.monitor.dependencies
            if part.required and part.name in errors
        }
        if is_draining():
            failures["process"] = "draining"
        elif not self.monitor.is_fresh:
            failures["process"] = "the checks do not run"
        unreported = {part.name for part in self.monitor.dependencies if not part.shown_in_ready}
        degraded = sorted(set(errors) - set(failures) - unreported)
        if failures:
            return 503, {"ready": False, "status": "not_ready", "failed": failures, "degraded": degraded}
        return 200, {"ready": True, "status": "ready", "degraded": degraded}

    def _detailed(self) -> tuple[int, dict[str, Any]]:
        started = time.perf_counter()
        statuses = details.check_statuses(self.monitor, self.detail_providers, draining=is_draining())
        elapsed_ms = (time.perf_counter() - started) * 1000
        body = details.detailed_body(statuses, uptime=time.monotonic() - _started_at, took_ms=elapsed_ms)
        return 503 if body["status"] == "unhealthy" else 200, body

    def _brief(self) -> tuple[int, dict[str, Any]]:
        statuses = details.check_statuses(self.monitor, self.detail_providers, draining=is_draining())
        return 200, details.brief_body(statuses, uptime=time.monotonic() - _started_at)


def _problem(status: int, title: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": title, "status": status}


async def _respond(
    scope: Scope, send: Send, status: int, body: dict[str, Any], content_type: bytes = b"application/json"
) -> None:
    request_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    encoded = orjson.dumps(body)
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(encoded)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", accept_or_generate_id(request_id.decode("latin-1")).encode()),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else encoded})
