"""Health answers: at once, whatever is broken."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from monitoring import health
from monitoring.health import HealthApplication
from monitoring.watch import Part


@dataclass
class Switch(HealthCheck):
    """A part that is well, ill, frozen or broken as the test says."""

    state: str = "well"

    async def run(self) -> None:
        while self.state == "frozen":  # noqa: ASYNC110  set by another thread
            await asyncio.sleep(0.01)
        if self.state == "ill":
            raise ServiceUnavailable("does not answer")
        if self.state == "broken":
            raise RuntimeError("postgresql://user:secret@host")


@pytest.fixture
def undrained() -> Iterator[None]:
    yield
    health._draining.clear()


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


_made: list[HealthApplication] = []


@pytest.fixture(autouse=True)
def _nobody_looks_on() -> Iterator[None]:
    yield
    while _made:
        _made.pop().watch.stop()


def _application(database: str = "well", redis: str = "well") -> HealthApplication:
    parts = [Part("database", Switch(database), vital=True), Part("redis", Switch(redis))]
    _made.append(HealthApplication(_inner, parts=parts, version="1.2.3", environment="test"))
    return _made[-1]


async def _get(application: HealthApplication, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    await application({"type": "http", "path": path, "method": method, "headers": []}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"] or b"null")


async def test_health_has_the_shape_that_balancers_know() -> None:
    status, body = await _get(_application(), "/api/health")

    assert status == 200
    assert {key: body[key] for key in ("ok", "status", "service", "version", "environment")} == {
        "ok": True, "status": "ok", "service": "freight-api", "version": "1.2.3", "environment": "test",
    }  # fmt: skip
    assert set(body) == {"ok", "status", "service", "version", "environment", "timestamp", "uptime"}


async def test_a_living_process_says_so_whatever_is_down() -> None:
    assert await _get(_application("ill", "ill"), "/api/health/live") == (200, {"alive": True, "status": "alive"})


def _no(**failed: str) -> tuple[int, dict[str, Any]]:
    return 503, {"ready": False, "status": "not_ready", "failed": failed, "degraded": []}


@pytest.mark.parametrize(
    ("database", "redis", "answer"),
    [
        ("well", "well", (200, {"ready": True, "status": "ready", "degraded": []})),
        ("well", "ill", (200, {"ready": True, "status": "ready", "degraded": ["redis"]})),
        ("ill", "well", _no(database="does not answer")),
        ("broken", "well", _no(database="cannot be checked")),
    ],
)
async def test_ready_tells_what_is_missing_and_no_secret(database: str, redis: str, answer: Any) -> None:
    assert await _get(_application(database, redis), "/api/health/ready") == answer


async def test_a_frozen_database_turns_ready_off_within_three_seconds_and_back_on() -> None:
    application = _application()
    assert (await _get(application, "/api/health/ready"))[0] == 200
    switch: Any = application.watch.parts[0].check

    switch.state = "frozen"
    off = await _until(application, 503)
    switch.state = "well"
    on = await _until(application, 200)

    assert off < 3
    assert on < 3


async def test_a_frozen_part_slows_no_answer() -> None:
    application = _application("frozen", "frozen")
    await _get(application, "/api/health/ready")
    began = time.perf_counter()

    for _ in range(100):
        await _get(application, "/api/health/ready")

    assert (time.perf_counter() - began) / 100 < 0.05


@pytest.mark.usefixtures("undrained")
async def test_a_draining_process_is_not_ready() -> None:
    health.drain()

    status, body = await _get(_application(), "/api/health/ready")

    assert (status, body["failed"]) == (503, {"process": "draining"})


async def test_everything_else_goes_to_django() -> None:
    assert [(await _get(_application(), path))[0] for path in ("/api/health/detailed", "/api", "/")] == [418] * 3


async def test_health_only_answers_questions() -> None:
    assert (await _get(_application(), "/api/health", "POST"))[0] == 405


async def _until(application: HealthApplication, status: int) -> float:
    """This will return after how many seconds `ready` answers so."""
    began = time.perf_counter()
    while (await _get(application, "/api/health/ready"))[0] != status:
        assert time.perf_counter() - began < 10
        await asyncio.sleep(0.02)
    return time.perf_counter() - began


def _inside(path: str, **headers: str) -> dict[str, Any]:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "path": path, "method": "GET", "headers": given, "client": ("127.0.0.1", 1)}


async def _ask(application: HealthApplication, scope: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize(
    ("database", "redis", "status", "overall"),
    [
        ("well", "well", 200, "healthy"),
        ("well", "ill", 200, "degraded"),
        ("ill", "well", 503, "unhealthy"),
        ("frozen", "frozen", 503, "unhealthy"),
    ],
)
async def test_details_name_the_culprit(database: str, redis: str, status: int, overall: str) -> None:
    answered, body = await _ask(_application(database, redis), _inside("/api/health/detailed"))
    _, brief = await _ask(_made[-1], _inside("/api/metrics/health"))

    assert (answered, body["status"], brief["status"]) == (status, overall, overall)
    ill = {name for name, state in (("database", database), ("redis", redis)) if state != "well"}
    assert {name for name, check in body["checks"].items() if check["status"] != "ok"} == ill
    assert {name for name, word in brief["checks"].items() if word != "ok"} == ill
    assert {issue.partition(":")[0] for issue in brief["issues"]} == ill


async def test_details_are_for_the_network_inside_alone() -> None:
    for path in ("/api/health/detailed", "/api/metrics/health"):
        forwarded = _inside(path, x_forwarded_for="127.0.0.1")
        outside = _inside(path) | {"client": ("198.51.100.7", 1)}
        proxied = _inside(path, x_forwarded_for="198.51.100.7") | {"client": None}
        local = _inside(path, x_forwarded_for="127.0.0.1") | {"client": None}

        assert [(await _ask(_application(), each))[0] for each in (forwarded, outside, proxied)] == [418] * 3
        assert (await _ask(_application(), local))[0] == 200


async def test_what_is_not_told_degrades_nobody() -> None:
    quiet = Part("disk", Switch("ill"), told=False)
    application = HealthApplication(_inner, parts=[quiet], version="1", environment="test", facts={"disk": dict})
    _made.append(application)

    assert (await _get(application, "/api/health/ready"))[1]["degraded"] == []
    assert (await _ask(application, _inside("/api/health/detailed")))[1]["status"] == "degraded"
