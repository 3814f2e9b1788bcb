"""Health over HTTP, answered at once before Django from the last results of the background checks (`monitor`)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import orjson
from django.conf import settings

from monitoring import addresses, runtime
from monitoring.health import details, process_state
from monitoring.health.monitor import Dependency, HealthMonitor
from monitoring.middleware import accept_or_generate_id
from monitoring.problems.bodies import CONTENT_TYPE, problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Django and Channels each spell the three differently.
Application = Callable[[Any, Any, Any], Awaitable[None]]
# Called with the query string; returns status and body.
Endpoint = Callable[[str], tuple[int, dict[str, Any]]]

_FIRST_RESULT_SECONDS: Final = 2.0
_MAX_QUERY: Final = 500

# The one that was made last: views answer from it, too.
_current: "list[HealthApplication]" = []


def detailed_response(path: str, query: str = "") -> tuple[int, dict[str, Any]]:
    """Return status and body of a detailed endpoint, for a caller with a key."""
    if not _current:
        return 503, {"status": "unhealthy", "checks": {}, "issues": ["the checks do not run"]}
    return _current[-1].internal_endpoints[path](query)


def process_response(query: str) -> tuple[int, dict[str, Any]] | None:
    """Return status and body of `?process=NAME&host=HOST`, None where the query names no process.

    Any process answers: from what the one that is asked for wrote down a second ago.
    """
    fields = dict(parse_qsl(query[:_MAX_QUERY]))
    if "process" not in fields:
        return None
    statuses = runtime.hosts.process_statuses()
    body = details.body_of_process(statuses, fields["process"], fields.get("host", ""))
    if body is None:
        names = ", ".join(sorted(each["process"] for each in statuses)) or "none"
        return 404, problem("not_found", f"No such process runs. There are: {names}.")
    return 503 if body["status"] == "unhealthy" else 200, body


class HealthApplication:
    """Answers health before Django, in detail only to METRICS_ALLOWED_NETWORKS; passes other requests on."""

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
        _current[:] = [self]
        self.version = version
        self.environment = environment
        self._public_endpoints: dict[str, Endpoint] = {
            "/api/health": self._health,
            "/api/health/live": self._live,
            "/api/health/ready": self._ready,
        }
        self.internal_endpoints: dict[str, Endpoint] = {
            "/api/health/detailed": self._detailed,
            "/api/metrics/health": self._brief,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime.measure_loop_lag()
        self.monitor.start()
        endpoint = self._endpoint_for(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await self.inner(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await _respond(scope, send, 405, problem("method_not_allowed"), CONTENT_TYPE.encode())
            return
        if endpoint not in {self._health, self._live}:
            await self._wait_for_first_results()
        status, body = endpoint(scope.get("query_string", b"").decode("latin-1"))
        await _respond(scope, send, status, body, CONTENT_TYPE.encode() if status == 404 else b"application/json")

    def _endpoint_for(self, scope: Scope) -> Endpoint | None:
        path = scope["path"].rstrip("/")
        internal_endpoint = self.internal_endpoints.get(path)
        if internal_endpoint and addresses.is_within(
            addresses.meta_from_scope(scope), settings.METRICS_ALLOWED_NETWORKS
        ):
            return internal_endpoint
        return self._public_endpoints.get(path)

    async def _wait_for_first_results(self) -> None:
        deadline = time.monotonic() + _FIRST_RESULT_SECONDS
        # Polled: the results come from another thread, which cannot set an Event of this loop.
        while not self.monitor.results.checked_at and time.monotonic() < deadline:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.02)

    def _health(self, _: str = "") -> tuple[int, dict[str, Any]]:
        return 200, {
            "ok": True,
            "status": "ok",
            "service": "freight-api",
            "version": self.version,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "uptime": round(process_state.uptime(), 3),
            "environment": self.environment,
        }

    def _live(self, _: str = "") -> tuple[int, dict[str, Any]]:
        return 200, {"alive": True, "status": "alive"}

    def _ready(self, _: str = "") -> tuple[int, dict[str, Any]]:
        errors = {name: error for name, error in self.monitor.results.errors.items() if error}
        failures = {
            dependency.name: errors[dependency.name]
            for dependency in self.monitor.dependencies
            if dependency.required and dependency.name in errors
        }
        if process_state.is_draining():
            failures["process"] = "draining"
        elif not self.monitor.is_fresh:
            failures["process"] = "the checks do not run"
        unreported = {each.name for each in self.monitor.dependencies if not each.shown_in_ready}
        degraded = sorted(set(errors) - set(failures) - unreported)
        if failures:
            return 503, {"ready": False, "status": "not_ready", "failed": failures, "degraded": degraded}
        return 200, {"ready": True, "status": "ready", "degraded": degraded}

    def _detailed(self, query: str = "") -> tuple[int, dict[str, Any]]:
        if (answer := process_response(query)) is not None:
            return answer
        started = time.perf_counter()
        statuses = details.check_statuses(self.monitor, self.detail_providers, draining=process_state.is_draining())
        elapsed_ms = (time.perf_counter() - started) * 1000
        body = details.detailed_body(statuses, uptime=process_state.uptime(), took_ms=elapsed_ms)
        return 503 if body["status"] == "unhealthy" else 200, body

    def _brief(self, _: str = "") -> tuple[int, dict[str, Any]]:
        statuses = details.check_statuses(self.monitor, self.detail_providers, draining=process_state.is_draining())
        return 200, details.brief_body(statuses, uptime=process_state.uptime())


async def _respond(
    scope: Scope, send: Send, status: int, body: dict[str, Any], content_type: bytes = b"application/json"
) -> None:
    given_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    request_id = accept_or_generate_id(given_id.decode("latin-1"))
    if content_type == CONTENT_TYPE.encode():
        body = body | {"instance": quote(scope["path"]), "requestId": request_id}
    encoded = orjson.dumps(body)
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(encoded)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else encoded})
