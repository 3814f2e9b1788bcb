"""Health endpoints answer at once, whatever dependency fails."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from monitoring.health import process_state
from monitoring.health.endpoints import HealthApplication
from monitoring.health.monitor import Dependency
from tests.timing import fastest_reported_seconds


@dataclass
class SwitchableCheck(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """A check that passes, fails, hangs or raises, as `state` says: well, ill, frozen or broken."""

    state: str = "well"

    async def run(self) -> None:
        while self.state == "frozen":  # noqa: ASYNC110  the test sets it from another event loop
            await asyncio.sleep(0.01)
        if self.state == "ill":
            raise ServiceUnavailable("does not answer")
        if self.state == "broken":
            raise RuntimeError("postgresql://user:secret@host")


@pytest.fixture
def restore_draining() -> Iterator[None]:
    yield
    process_state.cancel_draining()


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


_built_applications: list[HealthApplication] = []


@pytest.fixture(autouse=True)
def _stop_monitors() -> Iterator[None]:
    yield
    while _built_applications:
        _built_applications.pop().monitor.stop()


def build_application(database: str = "well", redis: str = "well") -> HealthApplication:
    dependencies = [
        Dependency("database", SwitchableCheck(database), required=True),
        Dependency("redis", SwitchableCheck(redis)),
    ]
    _built_applications.append(
        HealthApplication(_inner, dependencies=dependencies, version="1.2.3", environment="test")
    )
    return _built_applications[-1]


async def _get(application: HealthApplication, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    await application({"type": "http", "path": path, "method": method, "headers": []}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"] or b"null")


async def test_health_has_the_fields_that_balancers_read() -> None:
    status, body = await _get(build_application(), "/api/health")

    assert status == 200
    assert {key: body[key] for key in ("ok", "status", "service", "version", "environment")} == {
        "ok": True, "status": "ok", "service": "freight-api", "version": "1.2.3", "environment": "test",
    }  # fmt: skip
    assert set(body) == {"ok", "status", "service", "version", "environment", "timestamp", "uptime"}


async def test_live_answers_200_whatever_is_down() -> None:
    assert await _get(build_application("ill", "ill"), "/api/health/live") == (
        200,
        {"alive": True, "status": "alive"},
    )


def not_ready(**failed: str) -> tuple[int, dict[str, Any]]:
    return 503, {"ready": False, "status": "not_ready", "failed": failed, "degraded": []}


@pytest.mark.parametrize(
    ("database", "redis", "answer"),
    [
        ("well", "well", (200, {"ready": True, "status": "ready", "degraded": []})),
        ("well", "ill", (200, {"ready": True, "status": "ready", "degraded": ["redis"]})),
        ("ill", "well", not_ready(database="does not answer")),
        ("broken", "well", not_ready(database="cannot be checked")),
    ],
)
async def test_ready_names_the_failed_dependencies_and_no_secret(database: str, redis: str, answer: Any) -> None:
    assert await _get(build_application(database, redis), "/api/health/ready") == answer


async def test_a_frozen_database_turns_ready_off_within_three_seconds_and_back_on() -> None:
    application = build_application()
    assert (await _get(application, "/api/health/ready"))[0] == 200
    switch: Any = application.monitor.dependencies[0].check

    async def freeze_and_thaw() -> float:
        switch.state = "frozen"
        off = await seconds_until(application, 503)
        switch.state = "well"
        return max(off, await seconds_until(application, 200))

    assert await fastest_reported_seconds(freeze_and_thaw, under=3) < 3


async def test_a_frozen_dependency_delays_no_answer() -> None:
    application = build_application("frozen", "frozen")
    await _get(application, "/api/health/ready")
    began = time.perf_counter()

    for _ in range(100):
        await _get(application, "/api/health/ready")

    assert (time.perf_counter() - began) / 100 < 0.05


@pytest.mark.usefixtures("restore_draining")
async def test_a_draining_process_is_not_ready() -> None:
    process_state.start_draining()

    status, body = await _get(build_application(), "/api/health/ready")

    assert (status, body["failed"]) == (503, {"process": "draining"})


async def test_other_paths_are_passed_on_to_django() -> None:
    assert [(await _get(build_application(), path))[0] for path in ("/api/health/detailed", "/api", "/")] == [
        418
    ] * 3


async def test_health_refuses_other_methods() -> None:
    assert (await _get(build_application(), "/api/health", "POST"))[0] == 405


async def seconds_until(application: HealthApplication, status: int) -> float:
    """Return the seconds until `ready` answers with the status."""
    began = time.perf_counter()
    while (await _get(application, "/api/health/ready"))[0] != status:
        assert time.perf_counter() - began < 10
        await asyncio.sleep(0.02)
    return time.perf_counter() - began


def internal_scope(path: str, **headers: str) -> dict[str, Any]:
    headers_list = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "path": path, "method": "GET", "headers": headers_list, "client": ("127.0.0.1", 1)}


async def request_scope(application: HealthApplication, scope: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        raise AssertionError("health reads no body")

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
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
async def test_details_name_the_failed_dependency(database: str, redis: str, status: int, overall: str) -> None:
    answered, body = await request_scope(build_application(database, redis), internal_scope("/api/health/detailed"))
    _, brief = await request_scope(_built_applications[-1], internal_scope("/api/metrics/health"))

    assert (answered, body["status"], brief["status"]) == (status, overall, overall)
    ill = {name for name, state in (("database", database), ("redis", redis)) if state != "well"}
    assert {name for name, check in body["checks"].items() if check["status"] != "ok"} == ill
    assert {name for name, word in brief["checks"].items() if word != "ok"} == ill
    assert {issue.partition(":")[0] for issue in brief["issues"]} == ill


async def test_details_are_for_the_internal_network_only() -> None:
    for path in ("/api/health/detailed", "/api/metrics/health"):
        forwarded = internal_scope(path, x_forwarded_for="127.0.0.1")
        outside = internal_scope(path) | {"client": ("198.51.100.7", 1)}
        proxied = internal_scope(path, x_forwarded_for="198.51.100.7") | {"client": None}
        local = internal_scope(path, x_forwarded_for="127.0.0.1") | {"client": None}

        assert [(await request_scope(build_application(), each))[0] for each in (forwarded, outside, proxied)] == [
            418
        ] * 3
        assert (await request_scope(build_application(), local))[0] == 200


async def test_a_dependency_not_shown_in_ready_does_not_degrade_it() -> None:
    unshown = Dependency("disk", SwitchableCheck("ill"), shown_in_ready=False)
    application = HealthApplication(
        _inner, dependencies=[unshown], version="1", environment="test", detail_providers={"disk": dict}
    )
    _built_applications.append(application)

    assert (await _get(application, "/api/health/ready"))[1]["degraded"] == []
    assert (await request_scope(application, internal_scope("/api/health/detailed")))[1]["status"] == "degraded"
