"""What becomes of connections when the process is told to stop."""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from tests.freight.server.server_process import (
    UPGRADE,
    ServerProcess,
    client_frame,
    parse_frames,
    read_all,
    run_server,
    wait_until,
)

pytestmark = pytest.mark.journey

SOCKETS = 60
REQUESTS = 8


@dataclass
class DrainResult:
    """A server that was told to stop while much was under way, and what everybody saw."""

    ends: list[tuple[list[dict[str, Any]], int]] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)
    keep_alive_response: httpx.Response | None = None
    new_connection: str = ""
    status: int | None = None
    seconds: float = 0.0
    log: str = ""


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrainResult]:
    with run_server(tmp_path_factory.mktemp("drained")) as served:
        yield asyncio.run(_drain(served))


async def _drain(served: ServerProcess) -> DrainResult:
    result = DrainResult()
    silent = served.upgrade(b"/echo")  # never answers a close
    silent.sendall(client_frame(b"one"))
    assert parse_frames(silent.recv(100)) == [(1, b"one")]
    sockets = [await websockets.connect(served.ws("/echo"), ping_interval=None) for _ in range(SOCKETS)]
    with ThreadPoolExecutor(REQUESTS) as pool, httpx.Client(base_url=served.url, timeout=60) as kept:
        futures = [pool.submit(httpx.get, f"{served.url}/slow?3", timeout=60) for _ in range(REQUESTS)]
        assert wait_until(60, lambda: kept.get("/state").json().get("slow", 0) == REQUESTS)

        stopped_at = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGTERM)  # saying it again changes nothing
        closing = asyncio.gather(*(_until_closed(each) for each in sockets))
        await asyncio.to_thread(wait_until, 60, lambda: _refused(served))
        result.keep_alive_response = await asyncio.to_thread(kept.get, "/state")
        try:
            await asyncio.to_thread(httpx.get, f"{served.url}/state", timeout=5)
        except httpx.ConnectError:
            result.new_connection = "refused"
        result.ends = await closing
        result.answers = [await asyncio.wrap_future(each) for each in futures]
    result.status = await asyncio.to_thread(served.process.wait, 60)
    result.seconds = time.monotonic() - stopped_at
    silent.close()
    result.log = served.log.read_text()
    return result


async def _until_closed(connection: websockets.ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """The frames that still come, and the close code."""
    messages = []
    with contextlib.suppress(websockets.ConnectionClosed):
        async with asyncio.timeout(60):
            while True:
                messages.append(json.loads(await connection.recv()))
    return messages, connection.close_code or 0


def _refused(served: ServerProcess) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", served.port)) != 0


def test_every_socket_is_told_when_to_come_again_and_closed_with_4503(drained: DrainResult) -> None:
    assert [code for _, code in drained.ends] == [4503] * SOCKETS
    assert [[frame["type"] for frame in told] for told, _ in drained.ends] == [["drain"]] * SOCKETS
    assert all(500 <= told[0]["retryMs"] <= 3000 for told, _ in drained.ends)
    assert len({told[0]["retryMs"] for told, _ in drained.ends}) > 10


def test_requests_under_way_finish_each_the_last_of_its_connection(drained: DrainResult) -> None:
    assert [(each.status_code, each.json()) for each in drained.answers] == [(200, {"slow": True})] * REQUESTS
    assert {each.headers["connection"] for each in drained.answers} == {"close"}


def test_a_kept_connection_is_served_once_more_and_new_ones_are_refused(drained: DrainResult) -> None:
    assert drained.keep_alive_response is not None
    assert (drained.keep_alive_response.status_code, drained.keep_alive_response.headers["connection"]) == (
        200,
        "close",
    )
    assert drained.new_connection == "refused"


def test_the_process_ends_well_and_in_time_also_for_a_client_that_answers_nothing(drained: DrainResult) -> None:
    assert drained.status == 0
    assert drained.seconds < 25
    assert [word for word in ("draining", "drained", "cut short", "broke") if word in drained.log] == [
        "draining",
        "drained",
    ]


def test_a_socket_that_a_kept_connection_becomes_is_told_like_the_others(tmp_path: Path) -> None:
    with run_server(tmp_path) as served, served.connect() as kept, served.connect() as idle:
        kept.sendall(b"GET /slow?2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wait_until(20, lambda: served.state().get("slow", 0) == 1)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert wait_until(20, lambda: _refused(served))

        idle.sendall(UPGRADE % b"/echo")
        received = read_all(idle)
        status = served.process.wait(20)

    payloads = [payload for _, payload in parse_frames(received.partition(b"\r\n\r\n")[2])]
    assert [json.loads(payload)["type"] for payload in payloads[:-1]] == ["drain"]
    assert int.from_bytes(payloads[-1][:2], "big") == 4503
    assert status == 0
    assert time.monotonic() - began < 9


def test_what_takes_longer_than_the_drain_is_cut(tmp_path: Path) -> None:
    with run_server(tmp_path, drain_seconds=1) as served:
        client = served.connect()
        client.sendall(b"GET /slow?60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wait_until(60, lambda: served.state().get("slow", 0) == 1)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        status = served.process.wait(60)

    assert client.recv(100) == b""
    client.close()
    assert status == 0
    assert time.monotonic() - began < 30
