"""Health: asked by balancers, answered at once from what a background thread knows (`watch`)."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from django.conf import settings

from monitoring import addresses, detail, runtime
from monitoring.middleware import accepted_or_new
from monitoring.watch import Part, Watch

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Django and Channels each spell the three differently.
Application = Callable[[Any, Any, Any], Awaitable[None]]

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
