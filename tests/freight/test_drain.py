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

from tests.freight.served import UPGRADE, Served, frames, masked, read_all, serving, within

pytestmark = pytest.mark.journey

SOCKETS = 60
REQUESTS = 8


@dataclass
class Drained:
    """A server that was told to stop while much was under way, and what everybody saw."""

    ends: list[tuple[list[dict[str, Any]], int]] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)
    kept: httpx.Response | None = None
    new: str = ""
    status: int | None = None
    seconds: float = 0.0
    log: str = ""


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drained]:
    with serving(tmp_path_factory.mktemp("drained")) as served:
        yield asyncio.run(_drain(served))


async def _drain(served: Served) -> Drained:
    seen = Drained()
    silent = served.upgrade(b"/echo")  # never answers a close
    silent.sendall(masked(b"one"))
    assert frames(silent.recv(100)) == [(1, b"one")]
    sockets = [await websockets.connect(served.ws("/echo"), ping_interval=None) for _ in range(SOCKETS)]
    with ThreadPoolExecutor(REQUESTS) as pool, httpx.Client(base_url=served.url, timeout=60) as kept:
        asked = [pool.submit(httpx.get, f"{served.url}/slow?3", timeout=60) for _ in range(REQUESTS)]
        assert within(60, lambda: kept.get("/state").json().get("slow", 0) == REQUESTS)

        told_at = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGTERM)  # saying it again changes nothing
        closing = asyncio.gather(*(_until_closed(each) for each in sockets))
        await asyncio.to_thread(within, 60, lambda: _refused(served))
        seen.kept = await asyncio.to_thread(kept.get, "/state")
        try:
            await asyncio.to_thread(httpx.get, f"{served.url}/state", timeout=5)
        except httpx.ConnectError:
            seen.new = "refused"
        seen.ends = await closing
        seen.answers = [await asyncio.wrap_future(each) for each in asked]
    seen.status = await asyncio.to_thread(served.process.wait, 60)
    seen.seconds = time.monotonic() - told_at
    silent.close()
    seen.log = served.log.read_text()
    return seen


async def _until_closed(connection: websockets.ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """The frames that still come, and the close code."""
    told = []
    with contextlib.suppress(websockets.ConnectionClosed):
        async with asyncio.timeout(60):
            while True:
                told.append(json.loads(await connection.recv()))
    return told, connection.close_code or 0


def _refused(served: Served) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", served.port)) != 0


def test_every_socket_is_told_when_to_come_again_and_closed_with_4503(drained: Drained) -> None:
    assert [code for _, code in drained.ends] == [4503] * SOCKETS
    assert [[frame["type"] for frame in told] for told, _ in drained.ends] == [["drain"]] * SOCKETS
    assert all(500 <= told[0]["retryMs"] <= 3000 for told, _ in drained.ends)
    assert len({told[0]["retryMs"] for told, _ in drained.ends}) > 10


def test_requests_under_way_finish_each_the_last_of_its_connection(drained: Drained) -> None:
    assert [(each.status_code, each.json()) for each in drained.answers] == [(200, {"slow": True})] * REQUESTS
    assert {each.headers["connection"] for each in drained.answers} == {"close"}


def test_a_kept_connection_is_served_once_more_and_new_ones_are_refused(drained: Drained) -> None:
    assert drained.kept is not None
    assert (drained.kept.status_code, drained.kept.headers["connection"]) == (200, "close")
    assert drained.new == "refused"


def test_the_process_ends_well_and_in_time_also_for_a_client_that_answers_nothing(drained: Drained) -> None:
    assert drained.status == 0
    assert drained.seconds < 25
    assert [word for word in ("draining", "drained", "cut short", "broke") if word in drained.log] == [
        "draining",
        "drained",
    ]


def test_a_socket_that_a_kept_connection_becomes_is_told_like_the_others(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.connect() as kept, served.connect() as idle:
        kept.sendall(b"GET /slow?2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert within(20, lambda: served.state().get("slow", 0) == 1)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert within(20, lambda: _refused(served))

        idle.sendall(UPGRADE % b"/echo")
        received = read_all(idle)
        status = served.process.wait(20)

    told = [payload for _, payload in frames(received.partition(b"\r\n\r\n")[2])]
    assert [json.loads(payload)["type"] for payload in told[:-1]] == ["drain"]
    assert int.from_bytes(told[-1][:2], "big") == 4503
    assert status == 0
    assert time.monotonic() - began < 9


def test_what_takes_longer_than_the_drain_is_cut(tmp_path: Path) -> None:
    with serving(tmp_path, drain_seconds=1) as served:
        client = served.connect()
        client.sendall(b"GET /slow?60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert within(60, lambda: served.state().get("slow", 0) == 1)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        status = served.process.wait(60)

    assert client.recv(100) == b""
    client.close()
    assert status == 0
    assert time.monotonic() - began < 30
