"""One trace from the caller through request, queries, hint and socket, at a collector and in the log."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pytest_django import DjangoDbBlocker

from shipments.models import Shipment
from tests import factories
from tests.journeys import logins, processes, servers
from tests.journeys.collector import Collector
from tests.journeys.servers import Daphne

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
SHIPMENT = "/api/shipments/<reference:reference>"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as listening:
        yield listening


@pytest.fixture(scope="module")
def daphne(
    collector: Collector,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Daphne]:
    folder = tmp_path_factory.mktemp("tracing")
    with django_db_blocker.unblock():
        started = _daphne(folder, collector.url)
    try:
        started.start()
        started.wait()
        yield started
    finally:
        started.stop()


def _daphne(folder: Path, endpoint: str) -> Daphne:
    environment = {
        "DATABASE_URL": servers.database_url(),
        "METRICS_DIR": str(folder / "metrics"),
        "HTTPS": "0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    return Daphne("all", servers.free_port(), folder / "log", environment)


def _lines(daphne: Daphne, trace: str) -> list[dict[str, Any]]:
    lines = [line for line in daphne.log.read_text().splitlines() if trace in line]
    return [orjson.loads(line) for line in lines]


@pytest.fixture
def case(daphne: Daphne, committed: None) -> Iterator[tuple[httpx.Client, Shipment]]:
    """A dispatcher who has logged in, and a shipment."""
    organization = factories.organization()
    shipment = factories.booked(factories.member(organization, "dispatcher"))
    with contextlib.closing(logins.client(daphne, organization, "dispatcher")) as http:
        yield http, shipment


async def test_a_change_is_one_trace_from_its_request_to_the_socket(
    daphne: Daphne, collector: Collector, case: tuple[httpx.Client, Shipment]
) -> None:
    http, reference = case[0], case[1].reference
    asked, sat, caller = uuid.uuid4().hex, uuid.uuid4().hex, "00f067aa0ba902b7"
    handshake = {
        "Authorization": str(http.headers["Authorization"]),
        "traceparent": f"00-{sat}-{caller}-01",
        "X-Request-ID": f"sit-{sat}",
    }

    async with logins.Socket(daphne, additional_headers=handshake) as socket:
        await socket.say(type="join:room", shipmentId=reference)
        await socket.hear("room:joined")
        moved = await asyncio.to_thread(
            http.post,
            f"/shipments/{reference}/transitions",
            json={"to": "dispatched"},
            headers={"traceparent": f"00-{asked}-{caller}-01", "X-Request-ID": f"ask-{asked}"},
        )
        await socket.hear("shipment:update")

    assert moved.status_code == 200
    assert processes.within(20, lambda: collector.of(sat, "WebSocket") and collector.of(asked, "deliver"))
    request = collector.of(asked, f"POST {SHIPMENT}/transitions")[0]
    assert (request["parent"], request["http.response.status_code"]) == (caller, 200)
    inserted = collector.of(asked, "WITH")  # the shipment, its event and its audit entry
    assert {each["parent"] for each in inserted} == {request["id"]}
    assert reference not in str(collector.spans)
    assert collector.of(asked, "deliver")[0]["parent"] == request["id"]
    life = collector.of(sat, "WebSocket")[0]
    joined = collector.of(sat, "join:room")[0]
    assert (life["parent"], joined["parent"]) == (caller, life["id"])
    assert {each["parent"] for each in collector.of(sat, "SELECT")} >= {joined["id"]}
    assert collector.services == {"freight"}
    _ends_in_one_line(daphne, asked, event="request", route=f"{SHIPMENT}/transitions", request_id=f"ask-{asked}")
    line = _ends_in_one_line(daphne, sat, event="WebSocket closed", route="/ws/", request_id=f"sit-{sat}")
    assert line["organization"] == str(case[1].organization_id)
    assert line["user"]


def _ends_in_one_line(daphne: Daphne, trace: str, **told: str) -> dict[str, Any]:
    assert processes.within(10, lambda: bool(_lines(daphne, trace)))
    (line,) = _lines(daphne, trace)
    assert {name: line[name] for name in told} == told
    assert line["duration_ms"] > 0
    return line


async def test_what_is_not_to_be_sampled_is_not_and_a_malformed_parent_is_ignored(
    daphne: Daphne, collector: Collector
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
    assert processes.within(20, lambda: bool(collector.of(last, "GET /api/shipments")))
    assert {span["trace"] for span in collector.spans} & {unsampled, malformed} == set()
    assert processes.within(10, lambda: bool(_lines(daphne, unsampled)))
    assert _lines(daphne, malformed) == []


def test_a_collector_that_says_nothing_holds_no_request_up(daphne: Daphne, collector: Collector) -> None:
    collector.hold()
    try:
        with httpx.Client(base_url=daphne.url, timeout=20) as http:
            quick = sorted(http.get("/api/none").elapsed.total_seconds() for _ in range(40))
    finally:
        collector.let_go()

    # The exporter waits two seconds for each batch; requests are none of its business.
    assert quick[30] < 1


def test_a_collector_that_says_nothing_keeps_no_process_from_ending(collector: Collector) -> None:
    code = (
        "import time, django; django.setup()\n"
        "from monitoring import runtime, tracing\n"
        "runtime.enter('relay')\n"
        "with tracing.serving('x', ''): pass\n"
        "print(time.time())"
    )
    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    collector.hold()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=servers.ROOT, env=environment, capture_output=True, check=True
        )
        ended = time.time()
    finally:
        collector.let_go()

    # It gives its last batch one second; the rest is what an interpreter takes to end on a crowded machine.
    assert ended - float(done.stdout) < 5
