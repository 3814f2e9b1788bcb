"""A client that sends without end is closed, and the other sockets of the process do not feel it."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator

import pytest
import websockets
from asgiref.sync import sync_to_async

from tests.drills.harness.environment import ROOT
from tests.drills.harness.product_stage import ProductStage
from tests.journeys.clients import SocketClient
from tests.journeys.credentials import wait_for_close
from tests.journeys.realtime import frame_flood
from tests.journeys.realtime.hostile_clients import Case, checked_health, send_raw_frame

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


@pytest.fixture
def case(committed: None) -> Case:
    return Case()


@pytest.fixture(autouse=True)
def server_stays_healthy(product: ProductStage) -> Iterator[None]:
    with checked_health(product):
        yield


async def test_endless_fragments_close_the_socket(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0], await sync_to_async(case.credentials.bearer)()) as socket:
        await socket.receive("welcome")
        await send_raw_frame(socket, b"{", opcode=1, final=False)
        flood = asyncio.create_task(_fragments(socket))
        code, seconds = await wait_for_close(socket)
        flood.cancel()

    assert (code, seconds < 10) == (4429, True)  # each fragment counts like a message


@pytest.mark.parametrize("known", [True, False])
async def test_ten_thousand_messages_a_second_are_closed_with_4429(
    product: ProductStage, case: Case, known: bool
) -> None:
    token = await sync_to_async(case.credentials.bearer)()

    async with SocketClient(product.ws[0], token) as neighbour:
        await neighbour.receive("welcome")
        async with SocketClient(product.ws[0], token if known else None) as socket:
            flood = asyncio.create_task(_flood(socket))
            code, seconds = await wait_for_close(socket)
            flood.cancel()
        await neighbour.send(type="ping", t=1)
        await neighbour.receive("pong")

    assert (code, seconds < 10) == (4429, True)


@pytest.mark.parametrize("opcode", [9, 10, 0], ids=["ping", "pong", "continuation"])
async def test_a_flood_of_frames_that_are_no_messages_closes_with_4429(
    product: ProductStage, case: Case, opcode: int
) -> None:
    async with SocketClient(product.ws[0]) as socket:
        if opcode == 0:
            await send_raw_frame(socket, b"{", opcode=1, final=False)
        for _ in range(1000):
            await send_raw_frame(socket, b"", opcode=opcode, final=opcode != 0)
        code, seconds = await wait_for_close(socket)

    assert (code, seconds < 5) == (4429, True)


@pytest.mark.quiet_machine
@pytest.mark.parametrize(
    ("opcode", "known", "sockets"),
    [(9, False, 1), (9, True, 1), (10, False, 1), (0, False, 1), (1, False, 1), (9, True, 10)],
    ids=["ping", "authenticated ping", "pong", "continuation", "message", "ten pings"],
)
async def test_a_flood_is_not_felt_by_others(
    product: ProductStage, case: Case, opcode: int, known: bool, sockets: int
) -> None:
    flooded, quiet = product.ws
    token = await sync_to_async(case.credentials.bearer)()
    async with SocketClient(flooded, token) as neighbour, SocketClient(quiet, token) as control:
        arguments = [str(flooded.port), str(opcode), str(sockets), *([token] if known else [])]
        command = [sys.executable, "-m", frame_flood.__name__, *arguments]
        flooding = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        try:
            assert flooding.stdout is not None
            for _ in range(sockets):
                await flooding.stdout.readline()
            # In turns with another process: other load on the machine disturbs both alike.
            pairs = [(await _round_trip(neighbour), await _round_trip(control)) for _ in range(51)]
            assert flooding.returncode is None
        finally:
            flooding.kill()
            await flooding.wait()

    beside, undisturbed = map(statistics.median, zip(*pairs, strict=True))
    # Less than 5 ms cannot be told from other work on the machine; a flood without bounds makes it 80 to 700.
    assert beside < 3 * max(undisturbed, 0.005)


async def _round_trip(socket: SocketClient) -> float:
    """Return the seconds that a ping takes, sent as often as the message limit allows."""
    await asyncio.sleep(0.025)
    began = time.perf_counter()
    await socket.send(type="ping")
    await socket.receive("pong", 30)
    return time.perf_counter() - began


async def test_a_short_excess_is_refused_and_the_socket_recovers(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0], await sync_to_async(case.credentials.bearer)()) as socket:
        await socket.receive("welcome")
        for n in range(60):
            await socket.send(type="ping", id=n)
        refused = await socket.receive("error")
        await asyncio.sleep(2)
        await socket.send(type="ping", id="after")
        while (await socket.receive("pong"))["id"] != "after":
            pass

    assert refused["code"] == "rate_limited"


async def _flood(socket: SocketClient) -> None:
    frame = json.dumps({"type": "ping", "t": 1})
    try:
        for n in range(20_000):
            await socket.connection.send(frame)
            if n % 100 == 99:
                await asyncio.sleep(0.01)  # ten thousand a second, and time to receive the close
    except websockets.ConnectionClosed:
        pass


async def _fragments(socket: SocketClient) -> None:
    for n in range(1_000_000):
        await send_raw_frame(socket, b" " * 16, opcode=0, final=False)
        if n % 100 == 0:
            await asyncio.sleep(0)
