"""The drain: what happens to WebSockets, requests and idle connections on SIGTERM."""

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

from tests.drills.harness.waiting import comes_true
from tests.freight.server.server_process import (
    UPGRADE,
    ServerProcess,
    client_frame,
    parse_frames,
    read_all,
    run_server,
)

pytestmark = pytest.mark.journey

SOCKETS = 60
REQUESTS = 8


@dataclass
class DrainResult:
    """What the clients of a draining server received. `ends` are the frames and close code of each WebSocket."""

    ends: list[tuple[list[dict[str, Any]], int]] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)
    keep_alive_response: httpx.Response | None = None
    new_connection: str = ""
    status: int | None = None
    seconds: float = 0.0
    log: str = ""


@pytest.fixture(scope="module")
def drain_result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrainResult]:
    with run_server(tmp_path_factory.mktemp("drained")) as server_process:
        yield asyncio.run(_drain(server_process))


async def _drain(server_process: ServerProcess) -> DrainResult:
    result = DrainResult()
    silent = server_process.upgrade(b"/echo")  # never answers a close
    silent.sendall(client_frame(b"one"))
    assert parse_frames(silent.recv(100)) == [(1, b"one")]
    sockets = [await websockets.connect(server_process.ws("/echo"), ping_interval=None) for _ in range(SOCKETS)]
    with ThreadPoolExecutor(REQUESTS) as pool, httpx.Client(base_url=server_process.url, timeout=60) as http:
        futures = [pool.submit(httpx.get, f"{server_process.url}/slow?3", timeout=60) for _ in range(REQUESTS)]
        assert comes_true(60, lambda: http.get("/state").json().get("slow", 0) == REQUESTS)

        stopped_at = time.monotonic()
        server_process.process.send_signal(signal.SIGTERM)
        server_process.process.send_signal(signal.SIGTERM)  # a second one changes nothing
        closing = asyncio.gather(*(_until_closed(each) for each in sockets))
        await asyncio.to_thread(comes_true, 60, lambda: _refused(server_process))
        result.keep_alive_response = await asyncio.to_thread(http.get, "/state")
        try:
            await asyncio.to_thread(httpx.get, f"{server_process.url}/state", timeout=5)
        except httpx.ConnectError:
            result.new_connection = "refused"
        result.ends = await closing
        result.answers = [await asyncio.wrap_future(each) for each in futures]
    result.status = await asyncio.to_thread(server_process.process.wait, 60)
    result.seconds = time.monotonic() - stopped_at
    silent.close()
    result.log = server_process.log.read_text()
    return result


async def _until_closed(connection: websockets.ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Return the remaining frames, and the close code."""
    messages = []
    with contextlib.suppress(websockets.ConnectionClosed):
        async with asyncio.timeout(60):
            while True:
                messages.append(json.loads(await connection.recv()))
    return messages, connection.close_code or 0


def _refused(server_process: ServerProcess) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server_process.port)) != 0


def test_every_websocket_gets_a_drain_frame_and_is_closed_with_4503(drain_result: DrainResult) -> None:
    assert [code for _, code in drain_result.ends] == [4503] * SOCKETS
    assert [[frame["type"] for frame in frames] for frames, _ in drain_result.ends] == [["drain"]] * SOCKETS
    assert all(500 <= frames[0]["retryMs"] <= 3000 for frames, _ in drain_result.ends)
    assert len({frames[0]["retryMs"] for frames, _ in drain_result.ends}) > 10


def test_requests_in_progress_finish_each_the_last_of_its_connection(drain_result: DrainResult) -> None:
    assert [(each.status_code, each.json()) for each in drain_result.answers] == [(200, {"slow": True})] * REQUESTS
    assert {each.headers["connection"] for each in drain_result.answers} == {"close"}


def test_an_idle_connection_serves_one_more_request_and_new_ones_are_refused(drain_result: DrainResult) -> None:
    assert drain_result.keep_alive_response is not None
    assert (
        drain_result.keep_alive_response.status_code,
        drain_result.keep_alive_response.headers["connection"],
    ) == (
        200,
        "close",
    )
    assert drain_result.new_connection == "refused"


def test_the_process_exits_in_time_although_a_client_never_answers_its_close(drain_result: DrainResult) -> None:
    assert drain_result.status == 0
    assert drain_result.seconds < 25
    assert [word for word in ("draining", "drained", "cut short", "broke") if word in drain_result.log] == [
        "draining",
        "drained",
    ]


def test_a_connection_that_is_upgraded_while_draining_gets_the_drain_frame(tmp_path: Path) -> None:
    with run_server(tmp_path) as server_process, server_process.connect() as busy, server_process.connect() as idle:
        busy.sendall(b"GET /slow?2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert comes_true(20, lambda: server_process.state().get("slow", 0) == 1)
        began = time.monotonic()
        server_process.process.send_signal(signal.SIGTERM)
        assert comes_true(20, lambda: _refused(server_process))

        idle.sendall(UPGRADE % b"/echo")
        received = read_all(idle)
        status = server_process.process.wait(20)

    payloads = [payload for _, payload in parse_frames(received.partition(b"\r\n\r\n")[2])]
    assert [json.loads(payload)["type"] for payload in payloads[:-1]] == ["drain"]
    assert int.from_bytes(payloads[-1][:2], "big") == 4503
    assert status == 0
    assert time.monotonic() - began < 9


def test_a_request_that_takes_longer_than_the_drain_is_aborted(tmp_path: Path) -> None:
    with run_server(tmp_path, drain_seconds=1) as server_process:
        client = server_process.connect()
        client.sendall(b"GET /slow?60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert comes_true(60, lambda: server_process.state().get("slow", 0) == 1)
        began = time.monotonic()
        server_process.process.send_signal(signal.SIGTERM)
        status = server_process.process.wait(60)

    assert client.recv(100) == b""
    client.close()
    assert status == 0
    assert time.monotonic() - began < 30
