"""A circuit breaker: every transition, one trial at a time, and what it shows."""

import ast
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitoring import metrics
from monitoring.dependencies import breaker
from monitoring.dependencies.breaker import RESET_SECONDS, BreakerState, CircuitBreaker
from monitoring.prometheus import multiprocess

ROOT = Path(__file__).resolve().parents[3]


class Clock:
    """A clock that the test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_breaker(clock: Clock, dependency: str = "test") -> CircuitBreaker:
    circuit_breaker = CircuitBreaker(dependency, consequence="nothing works", clock=clock)
    circuit_breaker.record_failure(OSError("gone"))
    return circuit_breaker


def half_open_breaker(clock: Clock, dependency: str = "test") -> CircuitBreaker:
    """Make a breaker whose one trial is under way."""
    circuit_breaker = open_breaker(clock, dependency)
    clock.now += RESET_SECONDS
    assert circuit_breaker.allows_call()
    return circuit_breaker


def gauge_value(dependency: str) -> float | None:
    labels = {"dependency": dependency, "process": multiprocess.process_name()}
    samples = [sample for metric in metrics.breaker_state.collect() for sample in metric.samples]
    return next((sample.value for sample in samples if sample.labels == labels), None)


def test_a_new_breaker_is_closed_and_lets_every_call_pass() -> None:
    circuit_breaker = CircuitBreaker("test", consequence="nothing works")

    assert [circuit_breaker.allows_call() for _ in range(3)] == [True, True, True]
    assert circuit_breaker.state is BreakerState.CLOSED


def test_the_first_failure_opens_it_and_it_refuses(clock: Clock) -> None:
    circuit_breaker = open_breaker(clock)
    clock.now += RESET_SECONDS - 0.001

    assert [circuit_breaker.allows_call() for _ in range(3)] == [False, False, False]
    assert circuit_breaker.state is BreakerState.OPEN


def test_after_its_time_one_trial_passes_and_the_others_are_refused(clock: Clock) -> None:
    circuit_breaker = open_breaker(clock)
    clock.now += RESET_SECONDS

    assert [circuit_breaker.allows_call() for _ in range(3)] == [True, False, False]
    assert circuit_breaker.state is BreakerState.HALF_OPEN


def test_of_many_threads_one_gets_the_trial(clock: Clock) -> None:
    circuit_breaker = open_breaker(clock)
    clock.now += RESET_SECONDS
    start = threading.Barrier(16)

    def ask() -> bool:
        start.wait()
        return circuit_breaker.allows_call()

    with ThreadPoolExecutor(16) as pool:
        answers = [each.result() for each in [pool.submit(ask) for _ in range(16)]]

    assert answers.count(True) == 1


def test_a_trial_that_succeeds_closes_it(clock: Clock) -> None:
    circuit_breaker = half_open_breaker(clock)

    circuit_breaker.record_success()

    assert circuit_breaker.state is BreakerState.CLOSED
    assert [circuit_breaker.allows_call() for _ in range(2)] == [True, True]


def test_a_trial_that_fails_opens_it_again(clock: Clock) -> None:
    circuit_breaker = half_open_breaker(clock)

    circuit_breaker.record_failure(OSError("still gone"))

    assert circuit_breaker.state is BreakerState.OPEN
    assert not circuit_breaker.allows_call()


def test_a_trial_that_never_reports_is_replaced(clock: Clock) -> None:
    circuit_breaker = half_open_breaker(clock)
    refused = circuit_breaker.allows_call()

    clock.now += RESET_SECONDS

    assert (refused, circuit_breaker.allows_call()) == (False, True)


def test_a_closed_breaker_takes_no_lock() -> None:
    circuit_breaker = CircuitBreaker("test", consequence="nothing works")

    with circuit_breaker._lock:  # it is no reentrant lock: taking it again would never return
        assert circuit_breaker.allows_call()
        circuit_breaker.record_success()


def test_each_change_shows_in_the_gauge(clock: Clock) -> None:
    dependency = "test_gauge"
    circuit_breaker = open_breaker(clock, dependency)
    values = [gauge_value(dependency)]
    clock.now += RESET_SECONDS
    circuit_breaker.allows_call()
    values.append(gauge_value(dependency))
    circuit_breaker.record_failure()
    values.append(gauge_value(dependency))
    circuit_breaker.record_success()
    values.append(gauge_value(dependency))

    assert values == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.OPEN, BreakerState.CLOSED]


def test_what_is_probed_shows_in_the_gauge() -> None:
    values = []
    for state in (BreakerState.OPEN, BreakerState.CLOSED):
        breaker.report_state("test_probed", state)
        values.append(gauge_value("test_probed"))

    assert values == [2, 0]


def test_the_series_of_a_closed_breaker_exists_once_its_process_has_a_name() -> None:
    CircuitBreaker("test_quiet", consequence="nothing works")

    breaker.publish_states()

    assert gauge_value("test_quiet") == 0


def test_each_change_is_logged_and_a_failed_trial_only_for_debugging(clock: Clock) -> None:
    with capture_logs() as lines:
        circuit_breaker = half_open_breaker(clock)
        circuit_breaker.record_failure(OSError("still gone"))
        circuit_breaker.record_success()
        circuit_breaker.record_success()

    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "circuit breaker is open"),
        ("debug", "circuit breaker is half-open"),
        ("debug", "circuit breaker is open"),
        ("warning", "circuit breaker is closed: the dependency answers again"),
    ]
    assert {line["dependency"] for line in lines} == {"test"}
    assert (lines[0]["consequence"], lines[0]["error"]) == ("nothing works", "OSError('gone')")


def test_the_series_of_every_breaker_exists_from_the_first_scrape(tmp_path: Path) -> None:
    code = (
        "import django; django.setup()\n"
        "import freight.asgi\n"
        "from monitoring import runtime, metrics\n"
        "from monitoring.prometheus import aggregation\n"
        "runtime.start_reporting('ws')\n"
        "families = [each for each in aggregation.collect_families() if each.name == 'dependency_breaker_state']\n"
        "print(sorted((s.labels['dependency'], s.labels['process'], s.value) for s in families[0].samples\n"
        "    if s.labels['dependency'] != 'redis_hosts'))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"METRICS_DIR": str(tmp_path), "LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout.splitlines()[-1]) == [
        (dependency, "ws-1", 0.0) for dependency in ("redis", "redis_connections", "redis_publish")
    ]
