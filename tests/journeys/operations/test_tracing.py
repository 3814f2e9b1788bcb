"""One trace from the caller through request, queries, hint and socket, at a collector and in the log."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from pytest_django import DjangoDbBlocker

from shipments.models import Shipment
from tests import factories
from tests.drills.harness.environment import ROOT
from tests.drills.harness.presets import journey_stage
from tests.drills.harness.process import ProductProcess, everything
from tests.drills.harness.waiting import comes_true
from tests.journeys import clients
from tests.journeys.operations.otlp_collector import OtlpCollector

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
SHIPMENT = "/api/shipments/<reference:reference>"


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpCollector]:
    with OtlpCollector() as listening:
        yield listening


@pytest.fixture(scope="module")
def daphne(
    collector: OtlpCollector,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ProductProcess]:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with django_db_blocker.unblock():
        stage = journey_stage(tmp_path_factory.mktemp("tracing"), [everything()], **environment)
    with stage:
        yield stage.api


def _lines(daphne: ProductProcess, trace: str) -> list[dict[str, Any]]:
    lines = [line for line in daphne.log.read_text().splitlines() if trace in line]
    return [orjson.loads(line) for line in lines]


@pytest.fixture
def case(daphne: ProductProcess, committed: None) -> Iterator[tuple[httpx.Client, Shipment]]:
    """Return the client of a dispatcher who has logged in, and a shipment."""
    organization = factories.organization()
    shipment = factories.booked_shipment(factories.member(organization, "dispatcher"))
    with contextlib.closing(clients.logged_in_client(daphne, organization, "dispatcher")) as http:
        yield http, shipment


async def test_a_change_is_one_trace_from_its_request_to_the_socket(
    daphne: ProductProcess, collector: OtlpCollector, case: tuple[httpx.Client, Shipment]
) -> None:
    http, reference = case[0], case[1].reference
    request_trace, socket_trace = uuid.uuid4().hex, uuid.uuid4().hex
    caller = "00f067aa0ba902b7"
    handshake = {
        "Authorization": str(http.headers["Authorization"]),
        "traceparent": f"00-{socket_trace}-{caller}-01",
        "X-Request-ID": f"sit-{socket_trace}",
    }

    async with clients.SocketClient(daphne, additional_headers=handshake) as socket:
        await socket.send(type="join:room", shipmentId=reference)
        await socket.receive("room:joined")
        moved = await asyncio.to_thread(
            http.post,
            f"/shipments/{reference}/transitions",
            json={"to": "dispatched"},
            headers={"traceparent": f"00-{request_trace}-{caller}-01", "X-Request-ID": f"ask-{request_trace}"},
        )
        await socket.receive("shipment:update")

    assert moved.status_code == 200
    assert comes_true(
        20, lambda: collector.spans_of(socket_trace, "WebSocket") and collector.spans_of(request_trace, "deliver")
    )
    request = collector.spans_of(request_trace, f"POST {SHIPMENT}/transitions")[0]
    assert (request["parent"], request["http.response.status_code"]) == (caller, 200)
    insert_spans = collector.spans_of(
        request_trace, "WITH"
    )  # one statement: the shipment, its event and its audit entry
    assert {each["parent"] for each in insert_spans} == {request["id"]}
    assert reference not in str(collector.spans)
    assert collector.spans_of(request_trace, "deliver")[0]["parent"] == request["id"]
    socket_span = collector.spans_of(socket_trace, "WebSocket")[0]
    joined = collector.spans_of(socket_trace, "join:room")[0]
    assert (socket_span["parent"], joined["parent"]) == (caller, socket_span["id"])
    assert {each["parent"] for each in collector.spans_of(socket_trace, "SELECT")} >= {joined["id"]}
    assert collector.services == {"freight"}
    _check_single_log_line(
        daphne, request_trace, event="request", route=f"{SHIPMENT}/transitions", request_id=f"ask-{request_trace}"
    )
    line = _check_single_log_line(
        daphne, socket_trace, event="WebSocket closed", route="/ws/", request_id=f"sit-{socket_trace}"
    )
    assert line["organization"] == str(case[1].organization_id)
    assert line["user"]


def _check_single_log_line(daphne: ProductProcess, trace: str, **expected: str) -> dict[str, Any]:
    assert comes_true(10, lambda: bool(_lines(daphne, trace)))
    (line,) = _lines(daphne, trace)
    assert {name: line[name] for name in expected} == expected
    assert line["duration_ms"] > 0
    return line


def test_no_span_holds_a_query_string_or_a_token(
    collector: OtlpCollector, case: tuple[httpx.Client, Shipment]
) -> None:
    http, trace = case[0], uuid.uuid4().hex

    http.get(
        "/shipments", params={"q": "Orchideenweg"}, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    ).raise_for_status()

    assert comes_true(20, lambda: bool(collector.spans_of(trace, "GET /api/shipments")))
    secrets = ("Orchideenweg", str(http.headers["Authorization"]).removeprefix("Bearer "))
    assert [each for each in secrets if each in str(collector.spans)] == []


async def test_what_is_not_to_be_sampled_is_not_and_a_malformed_parent_is_ignored(
    daphne: ProductProcess, collector: OtlpCollector
) -> None:
    unsampled, malformed, last = uuid.uuid4().hex, uuid.uuid4().hex, uuid.uuid4().hex
    parents = [
        f"00-{unsampled}-00f067aa0ba902b7-00",
        f"00-{malformed}-00f067aa0ba902b7-zz",
        f"00-{last}-{'1' * 16}-01",
    ]
    async with httpx.AsyncClient(base_url=daphne.url, timeout=20) as http:
        answers = [await http.get("/api/shipments", headers={"traceparent": each}) for each in parents]

    assert {each.status_code for each in answers} == {401}
    assert comes_true(20, lambda: bool(collector.spans_of(last, "GET /api/shipments")))
    assert {span["trace"] for span in collector.spans} & {unsampled, malformed} == set()
    assert comes_true(10, lambda: bool(_lines(daphne, unsampled)))
    assert _lines(daphne, malformed) == []


def test_a_collector_that_says_nothing_holds_no_request_up(
    daphne: ProductProcess, collector: OtlpCollector
) -> None:
    collector.hold_answers()
    try:
        with httpx.Client(base_url=daphne.url, timeout=20) as http:
            durations = sorted(http.get("/api/none").elapsed.total_seconds() for _ in range(40))
    finally:
        collector.release_answers()

    # The exporter waits two seconds for each batch, in a thread of its own.
    assert durations[30] < 1


def test_a_collector_that_says_nothing_keeps_no_process_from_ending(collector: OtlpCollector) -> None:
    code = (
        "import time, django; django.setup()\n"
        "from monitoring import runtime\n"
        "from monitoring.tracing import trace_context\n"
        "runtime.start_reporting('relay')\n"
        "with trace_context.server_span('x', ''): pass\n"
        "print(time.time())"
    )
    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    collector.hold_answers()
    try:
        completed = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
        )
        ended = time.time()
    finally:
        collector.release_answers()

    # The last batch has one second; the rest is the end of an interpreter on a loaded machine.
    assert ended - float(completed.stdout) < 5
