"""The runbook's own commands work against the whole product, through its public port."""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import orjson
import psutil
import psycopg
import pytest
import websockets
from websockets.typing import Subprotocol

from freight import embedded
from tests.drills.alerts.prometheus import PrometheusServer, impatient_rules
from tests.drills.harness import procfs
from tests.drills.harness.up import UpProcess
from tests.drills.harness.waiting import comes_true
from tests.journeys.operations import runbook
from tests.journeys.operations.prometheus import dashboard_queries, referenced_series

pytestmark = [pytest.mark.journey]


_MIN_COUNTED_REQUESTS = 6
REPORTS = ("websocket", "cache", "ratelimit", "performance", "exports", "health")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    product = UpProcess(tmp_path_factory.mktemp("operations") / "home", WS_PROCESSES="2", SLOW_QUERY_MS="500")
    process = product.start_and_wait()
    try:
        yield product
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def busy(up: UpProcess) -> UpProcess:
    """Return the product after some work: repeated reads, an export, a socket in a room, a slow query."""
    with _login(up, "dispatcher@demo.test") as http:
        for _ in range(3):
            assert http.get("/shipments/SHIP-000001").status_code == 200
            assert http.get("/shipments?limit=5").status_code == 200
        assert http.get("/exports/shipments.csv?limit=10").status_code == 200
        token = http.post("/auth/ws-ticket").json()["ticket"]
        asyncio.run(_join_feed(up, token))
        _run_while_locked(up, 1.2, lambda: http.get("/shipments?limit=7"))
        # A process whose Redis was away counts by itself until its circuit breaker closes.
        assert comes_true(20, lambda: _count_requests(http) >= _MIN_COUNTED_REQUESTS), (
            "Requests are not counted in Redis."
        )
    return up


def _count_requests(http: httpx.Client) -> int:
    """Make one more request, and return how many have been counted."""
    assert http.get("/shipments/SHIP-000001").status_code == 200
    return int(http.get("/metrics/ratelimit").json()["limiters"]["general"]["hits"])


def _login(up: UpProcess, email: str) -> httpx.Client:
    answer = httpx.post(f"{up.url}/api/auth/login", json={"email": email, "password": "freight-demo"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return httpx.Client(
        base_url=f"{up.url}/api", timeout=30, headers={"Authorization": f"Bearer {answer.json()['access']}"}
    )


async def _join_feed(up: UpProcess, ticket: str) -> None:
    url = f"ws://127.0.0.1:{up.port}/ws/"
    protocols = [Subprotocol("freight.v1"), Subprotocol(f"ticket.{ticket}")]
    async with websockets.connect(url, subprotocols=protocols) as socket:
        await socket.send(orjson.dumps({"type": "join:room", "room": "shipments:all"}).decode())
        async with asyncio.timeout(30):
            while orjson.loads(await socket.recv())["type"] != "shipment:update":
                pass
        async with httpx.AsyncClient(timeout=10) as http:
            async with asyncio.timeout(20):
                while True:
                    report = (await http.get(f"{up.url}/api/metrics/websocket")).json()
                    if report["rooms"].get("shipments:all") == 1:
                        break
                    await asyncio.sleep(0.2)
    assert report["activeConnections"] == 1
    assert sum(each["connections"] for each in report["processes"]) == 1


def _partial_reports(up: UpProcess) -> list[str]:
    """Return the reports that miss a host now."""
    return [name for name in REPORTS if "partial" in httpx.get(f"{up.url}/api/metrics/{name}", timeout=10).json()]


def _service_processes(up: UpProcess, names: list[str]) -> list[psutil.Process]:
    return [process for name in names for process in procfs.running_in(up.home, name)]


def _run_while_locked(up: UpProcess, seconds: float, work: Callable[[], object]) -> None:
    """Run `work` while a table that it queries is locked for `seconds`."""
    worker = threading.Thread(target=work)
    with psycopg.connect(embedded.endpoints(up.home).database_url) as connection:
        connection.execute("LOCK TABLE shipments_shipment IN ACCESS EXCLUSIVE MODE")
        worker.start()
        time.sleep(seconds)
    worker.join(30)


def _is_number(low: float = 0, high: float = float("inf")) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and low <= value <= high


def _has_keys(*names: str) -> Callable[[Any], bool]:
    return lambda value: set(names) <= set(value)


# The commands of the runbook: path of the request, jq's filter, and a check of the result.
LINES: list[tuple[str, str, Callable[[Any], bool]]] = [
    ("/api/metrics/websocket", ".activeConnections", _is_number()),
    ("/api/metrics/websocket", ".totalConnections", _is_number(1)),
    ("/api/metrics/websocket", ".averageLatency", _is_number(0, 60_000)),
    ("/api/metrics/websocket", ".p95Latency", _is_number(0, 60_000)),
    ("/api/metrics/websocket", ".messagesPerSecond", _is_number()),
    ("/api/metrics/websocket", ".processes", lambda found: [each["process"] for each in found] == ["ws-1", "ws-2"]),
    (
        "/api/metrics/cache",
        "",
        _has_keys("timestamp", "hits", "misses", "size", "maxSize", "ttlAverage", "evictions"),
    ),
    ("/api/metrics/cache", ".hits", _is_number(1)),
    ("/api/metrics/cache", ".size", _is_number(1)),
    ("/api/metrics/cache", ".hitRate", _is_number(0.01, 1)),
    ("/api/metrics/cache", ".byName", _has_keys("shipment", "list")),
    ("/api/metrics/ratelimit", ".limiters", _has_keys("general", "ai", "billing")),
    ("/api/metrics/ratelimit", ".limiters.general", _has_keys("name", "max", "window", "hits", "rejections")),
    ("/api/metrics/ratelimit", ".limiters.ai.max", lambda most: most == 20),
    ("/api/metrics/ratelimit", ".limiters.general.hits", _is_number(_MIN_COUNTED_REQUESTS)),
    ("/api/metrics/performance", ".slowQueries", lambda found: found and found[0]["maxMs"] >= 500),
    ("/api/metrics/performance", ".slowQueries", lambda found: any("/api/" in each["route"] for each in found)),
    ("/api/metrics/performance", ".uptime.seconds", _is_number(0.1)),
    ("/api/metrics/performance", ".uptime.formatted", lambda said: said.count(":") == 2),
    ("/api/metrics/performance", ".memory", _has_keys("rss_mb", "heap_used_mb", "heap_total_mb", "external_mb")),
    ("/api/metrics/performance", ".memory.heap_used_percent", _is_number(0.01)),
    ("/api/metrics/performance", ".process", _has_keys("pid", "version", "platform", "arch")),
    ("/api/metrics/performance", ".requests.p95", _is_number(0.1, 60_000)),
    ("/api/metrics/performance", ".requests", _has_keys("p50", "p95", "p99", "errorRate")),
    ("/api/metrics/exports", ".total", _is_number(1)),
    ("/api/metrics/exports", ".byFormat.csv", _is_number(1)),
    ("/api/metrics/exports", ".cache", _has_keys("hits", "misses")),
    ("/api/metrics/exports", ".queues", _has_keys("exports", "imports")),
    ("/api/health", ".ok", lambda ok: ok is True),
    ("/api/health", ".service", lambda name: name == "freight-api"),
    ("/api/health/detailed", ".status", lambda status: status == "healthy"),
    ("/api/health/detailed", ".checks.processes.running", lambda now: now["relay"] == 1 and now["ws"] == 2),
    ("/api/health/detailed", ".checks.processes.expected", lambda say: say == {"api": 1, "ws": 2, "relay": 1}),
    ("/api/health/detailed?process=ws-2", ".checks.process.name", lambda name: name == "ws-2"),
    ("/api/health/detailed?process=relay-1", ".status", lambda status: status == "healthy"),
    ("/api/health/detailed?process=relay-1", ".heartbeatAge", _is_number(0, 60)),
    ("/api/health/detailed", ".checks.database.latencyMs", _is_number()),
    ("/api/health/detailed", ".checks.cache.hitRate", _is_number(0.01, 1)),
    ("/api/health/detailed", ".checks.channelLayer.status", lambda status: status == "ok"),
    ("/api/health/detailed", ".checks.websocket.connectedClients", _is_number()),
    ("/api/health/detailed", ".checks.memory.usage", _is_number(0.001, 1)),
    ("/api/health/detailed", ".checks.disk.status", lambda status: status in {"ok", "warning"}),
    ("/api/health/detailed", ".checks.process.pool", _has_keys("used", "idle", "waiting")),
    ("/api/health/ready", ".ready", lambda ready: ready is True),
    ("/api/health/live", ".alive", lambda alive: alive is True),
    ("/api/metrics/health", ".checks.database", lambda word: word == "ok"),
    ("/api/metrics/health", ".issues", lambda issues: issues == []),
]


@pytest.mark.parametrize(("path", "filter_", "expected"), LINES, ids=[f"{path} {each}" for path, each, _ in LINES])
def test_a_line_of_the_runbook_prints_what_it_should(
    busy: UpProcess, path: str, filter_: str, expected: Callable[[Any], bool]
) -> None:
    def holds() -> bool:
        answer = httpx.get(f"{busy.url}{path}", timeout=10)
        value = answer.json()
        for name in filter(None, filter_.split(".")):
            value = value[name]
        last_result[:] = [answer.status_code, value]
        return answer.status_code == 200 and bool(expected(value))

    last_result: list[Any] = []

    # A process publishes its counts within seconds.
    assert comes_true(15, holds), last_result


@pytest.mark.parametrize("line", runbook.lines_starting_with("curl"))
def test_a_line_of_our_page_answers(busy: UpProcess, line: str) -> None:
    curl, _, filter_command = line.partition(" | ")
    path = curl.removeprefix("curl -s http://localhost:4000")

    answer = httpx.get(f"{busy.url}{path}", timeout=10)

    assert answer.status_code == 200
    if filter_command.startswith("grep "):
        assert filter_command.removeprefix("grep ") in answer.text
    elif filter_command:
        _follow_jq_path(answer.json(), filter_command.removeprefix("jq").strip().strip("'"), path)


def _follow_jq_path(found: Any, way: str, path: str) -> None:
    """Return the value at jq's filter; `failed` is only in the response of a process that is not ready."""
    for name in filter(None, way.split(".")):
        if (path, name) != ("/api/health/ready", "failed"):
            found = found[name]


@pytest.mark.parametrize("line", runbook.lines_starting_with("grep") + runbook.lines_starting_with("tail"))
def test_a_line_of_our_page_finds_its_log(busy: UpProcess, line: str) -> None:
    completed = subprocess.run(
        ["bash", "-c", line], env=os.environ | {"FREIGHT_HOME": str(busy.home)}, capture_output=True, check=False
    )

    assert (completed.returncode, completed.stderr) == (0, b"")
    assert completed.stdout


def test_the_metrics_page_knows_the_sockets(busy: UpProcess) -> None:
    lines = httpx.get(f"{busy.url}/api/metrics", timeout=10).text.splitlines()

    samples = {line.split(" ")[0]: line.split(" ")[1] for line in lines if line.startswith("websocket_")}
    assert samples["websocket_connections_active"] == "0.0"
    assert float(samples["websocket_connections_total"]) >= 1
    assert float(samples['websocket_messages_total{direction="out",type="shipment:update"}']) >= 1
    memory = [line for line in lines if line.startswith("process_resident_memory_bytes{")]
    assert sorted(line.split('"')[1] for line in memory) == ["api-1", "relay-1", "simulate-1", "ws-1", "ws-2"]


def test_every_report_has_its_time_and_none_is_partial(busy: UpProcess) -> None:
    for name in REPORTS:
        report = httpx.get(f"{busy.url}/api/metrics/{name}", timeout=10).json()

        assert report["timestamp"].endswith("Z")
        assert "partial" not in report


def test_a_token_is_let_through_to_health_and_the_audit_shows_exports(busy: UpProcess) -> None:
    with _login(busy, "admin@demo.test") as http:
        assert http.get("/health").status_code == 200
        exports = http.get("/audit-log?action=export").json()["results"]

    assert {each["action"] for each in exports} == {"export"}


@pytest.fixture(scope="module")
def prometheus(busy: UpProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("prometheus")
    with PrometheusServer(folder, f"127.0.0.1:{busy.port}", rules=impatient_rules()) as started:
        yield started


def test_every_series_of_rules_and_dashboard_exists_and_moves(
    busy: UpProcess, prometheus: PrometheusServer
) -> None:
    def missing_series() -> list[str]:
        return [name for name in sorted(referenced_series()) if not prometheus.query(name)]

    assert comes_true(20, lambda: not missing_series()), missing_series()
    assert comes_true(20, lambda: not _silent_queries(prometheus)), _silent_queries(prometheus)
    counted = ("sum(http_requests_total)", "sum(shipment_events_total)", "sum(process_cpu_seconds_total)")
    before = [prometheus.value(each) for each in counted]
    assert comes_true(
        20, lambda: all(prometheus.value(each) > was for each, was in zip(counted, before, strict=True))
    )


def _silent_queries(prometheus: PrometheusServer) -> list[str]:
    return [each for each in dashboard_queries() if not prometheus.query(each)]


def test_the_page_is_clean_by_promtool(busy: UpProcess) -> None:
    page = httpx.get(f"{busy.url}/api/metrics", timeout=10).text

    completed = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False, timeout=60
    )

    problems = [line for line in (completed.stdout + completed.stderr).splitlines() if line.strip()]
    assert [line for line in problems if not line.startswith("request_duration_ms ")] == []


def test_alerts_fire_while_redis_or_postgresql_is_away_and_go_away(
    up: UpProcess, prometheus: PrometheusServer
) -> None:
    def is_firing(alert: str, expected: bool) -> bool:
        return (alert in prometheus.firing()) is expected

    for name, alert in (("valkey", "RedisDown"), ("postgres", "DatabaseDown")):
        assert comes_true(20, partial(is_firing, alert, False))
        suspended = _service_processes(up, [name])
        for each in suspended:
            each.suspend()
        try:
            assert comes_true(30, partial(is_firing, alert, True)), alert
        finally:
            for each in suspended:
                each.resume()
        assert comes_true(30, partial(is_firing, alert, False)), alert
    assert comes_true(20, lambda: not _partial_reports(up))


@pytest.mark.quiet_machine
def test_frozen_dependencies_slow_no_answer_and_are_named(up: UpProcess) -> None:
    suspended = _service_processes(up, ["postgres", "valkey"])
    seconds: list[float] = []

    def timed_get(path: str) -> httpx.Response:
        started = time.perf_counter()
        answer = http.get(path)
        seconds.append(time.perf_counter() - started)
        return answer

    with httpx.Client(base_url=f"{up.url}/api/health", timeout=10) as http:
        for each in suspended:
            each.suspend()
        began = time.monotonic()
        try:
            while timed_get("/ready").status_code == 200 and time.monotonic() - began < 20:
                assert timed_get("/live").status_code == 200
            noticed = time.monotonic() - began
            assert comes_true(10, lambda: timed_get("/detailed").json()["checks"]["cache"]["status"] == "warning")
            lives = {timed_get("/live").status_code for _ in range(50)}
            details = [timed_get("/detailed") for _ in range(50)]
        finally:
            for each in suspended:
                each.resume()
        # Each process must notice by itself that Redis is back.
        assert comes_true(
            20, lambda: timed_get("/ready").json() == {"ready": True, "status": "ready", "degraded": []}
        )
    assert comes_true(20, lambda: not _partial_reports(up))

    assert lives == {200}
    assert {each.status_code for each in details} == {503}
    body = details[-1].json()
    assert body["status"] == "unhealthy"
    assert body["checks"]["database"] == {
        "status": "critical", "reason": "does not answer", "latencyMs": body["checks"]["database"]["latencyMs"],
    }  # fmt: skip
    assert body["checks"]["cache"]["reason"]
    # The bound is for an idle machine; load stretches it.
    slack = max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))
    assert noticed < 3 * slack
    assert sorted(seconds)[int(len(seconds) * 0.95)] < 0.05 * slack
