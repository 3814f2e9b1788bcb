"""A scrape of one process shows the metrics of all."""

import contextlib
import os
import time
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import factories
from tests.drills.harness.process import ProductProcess
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import comes_true
from tests.journeys import clients

pytestmark = pytest.mark.journey

# The names that dashboards and clients rely on; further ones are in the tests of each app.
NAMES = {
    "http_requests_total", "http_request_duration_seconds_bucket", "websocket_connections_active",
    "websocket_connections_total", "websocket_messages_total", "websocket_delivery_latency_seconds_bucket",
    "websocket_rooms", "websocket_replayed_events_total", "websocket_gaps_healed_total",
    "websocket_slow_consumers_total", "cache_requests_total", "cache_hit_ratio", "db_query_duration_seconds_bucket",
    "db_slow_queries_total", "shipment_events_total", "shipments_by_status", "hint_publish_failures_total",
    "database_connected", "redis_connected", "process_resident_memory_bytes", "relay_lag_seconds",
    "sweep_duration_seconds_bucket", "event_loop_lag_seconds", "process_heap_used_bytes",
    "process_heap_total_bytes", "request_duration_ms", "dependency_breaker_state",
}  # fmt: skip


def _scrape(daphne: ProductProcess) -> list[Any]:
    answer = httpx.get(f"{daphne.url}/api/metrics", timeout=10)
    assert answer.status_code == 200
    return [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]


def _total(samples: list[Any], name: str, **labels: str) -> float:
    return float(sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items()))


def test_every_named_series_is_there_and_each_process_is_shown_once(product: ProductStage) -> None:
    assert comes_true(10, lambda: _total(_scrape(product.api), "redis_connected") == 1)
    samples = _scrape(product.api)

    assert NAMES - {each.name for each in samples} == set()
    memory = [each for each in samples if each.name == "process_resident_memory_bytes"]
    assert sorted(each.labels["process"] for each in memory) == ["api-1", "ws-1", "ws-2"]
    assert _total(samples, "database_connected") == 1
    assert len({(each.name, tuple(sorted(each.labels.items()))) for each in samples}) == len(samples)


def test_a_request_to_one_process_is_counted_once_and_seen_by_all(product: ProductStage, committed: None) -> None:
    route = {"route": "/api/shipments/<reference:reference>", "status": "404"}
    before = [_total(_scrape(each), "http_requests_total", **route) for each in product.daphnes]
    with contextlib.closing(clients.logged_in_client(product.api, factories.organization(), "dispatcher")) as http:
        for number in range(3):
            http.get(f"/shipments/NONE-{number}")

    after = [_total(_scrape(each), "http_requests_total", **route) for each in product.daphnes]

    assert [late - early for early, late in zip(before, after, strict=True)] == [3, 3, 3]


def test_what_strangers_type_adds_no_series(product: ProductStage) -> None:
    with httpx.Client(base_url=product.api.url, timeout=10) as http:

        def send_requests(number: int) -> None:
            http.request(f"M{number}", f"/api/none-{number}", headers={"User-Agent": f"agent {number}"})
            http.get(f"/{number}/none?{number}", headers={"User-Agent": f"agent {number}", "Host": "127.0.0.1"})

        send_requests(-1)
        _scrape(product.api)
        before = _series(product)
        for number in range(100):
            send_requests(number)

    assert _series(product) == before


def _series(product: ProductStage) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the series but those of the ws processes, which publish theirs at times of their own."""
    return {
        (each.name, tuple(each.labels.items()))
        for each in _scrape(product.api)
        if not each.labels.get("process", "").startswith("ws-")
    }


@pytest.mark.quiet_machine
def test_the_page_is_quick(product: ProductStage) -> None:
    seconds = []
    with httpx.Client(base_url=product.api.url, timeout=10) as http:
        for _ in range(20):
            started = time.perf_counter()
            http.get("/api/metrics")
            seconds.append(time.perf_counter() - started)

    # The bound is for an idle machine; load stretches it.
    assert sorted(seconds)[len(seconds) // 4] < 0.05 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
