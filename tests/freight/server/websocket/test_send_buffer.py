"""What a server sends to a socket: in order, together, and never more than a socket takes."""

import asyncio
import contextlib
import json
import struct
import time
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import websockets

from tests.drills.harness.waiting import comes_true
from tests.freight.server.server_process import ServerProcess, client_frame, parse_frames, read_all
from tests.timing import fastest_reported_seconds

pytestmark = pytest.mark.journey

MIB = 1024 * 1024


async def numbers(connection: websockets.ClientConnection, count: int) -> list[int]:
    async with asyncio.timeout(60):
        return [int(json.loads(await connection.recv())["n"]) for _ in range(count)]


async def read(connection: websockets.ClientConnection, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        return [json.loads(await connection.recv()) for _ in range(count)]


@pytest.mark.parametrize("by", ["extension", "sends", "both"])
async def test_frames_of_either_way_come_in_order(server_process: ServerProcess, by: str) -> None:
    async with websockets.connect(server_process.ws("/flood")) as connection:
        await connection.send(json.dumps({"frames": 500, "by": by}))

        assert await numbers(connection, 500) == list(range(500))


@pytest.mark.parametrize("together", [1, 7, 200])
async def test_what_is_spread_to_many_comes_to_each_in_order_among_its_own(
    server_process: ServerProcess, together: int
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        crowd = [
            await stack.enter_async_context(websockets.connect(server_process.ws("/crowd"))) for _ in range(30)
        ]
        await crowd[0].send(json.dumps({"frames": 500, "together": together}))

        asker, *others = await asyncio.gather(
            read(crowd[0], 500 + -(-500 // together)), *(numbers(each, 500) for each in crowd[1:])
        )

    assert others == [list(range(500))] * 29
    assert [frame["n"] for frame in asker if "n" in frame] == [f"{number:08}" for number in range(500)]
    # What is written to one alone stands where it was written.
    preceding = [before["n"] for before, frame in pairwise(asker) if "own" in frame]
    assert preceding == [f"{frame['own']:08}" for frame in asker if "own" in frame]


async def test_one_of_many_that_stops_reading_is_cut_and_the_others_get_all(server_process: ServerProcess) -> None:
    before = server_process.state()
    stopped = server_process.upgrade(b"/crowd", receive_buffer=4096)
    async with contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(websockets.connect(server_process.ws("/crowd"))) for _ in range(3)]
        options = json.dumps({"frames": 3000, "together": 20, "pause": 0.01})
        await crowd[0].send(options)

        others = await asyncio.gather(*(numbers(each, 3000) for each in crowd[1:]), read(crowd[0], 3150))

    assert others[:2] == [list(range(3000))] * 2
    assert comes_true(60, lambda: 4431 in server_process.state()["codes"][len(before["codes"]) :])
    stopped.close()


async def test_more_than_may_wait_passes_for_who_waits_until_it_is_on_its_way(
    server_process: ServerProcess,
) -> None:
    async with websockets.connect(server_process.ws("/flood")) as connection:
        await connection.send(json.dumps({"frames": 4000, "by": "extension", "patient": True}))

        assert await numbers(connection, 4000) == list(range(4000))


async def test_one_frame_larger_than_what_may_wait_passes(server_process: ServerProcess) -> None:
    async with websockets.connect(server_process.ws("/large"), max_size=None) as connection:
        for size in (1, 125, 126, 65_535, 65_536, 3 * MIB):
            await connection.send(str(size))
            assert len(await connection.recv()) == size


async def test_what_is_written_in_one_turn_leaves_in_one_write(server_process: ServerProcess) -> None:
    async with websockets.connect(server_process.ws("/echo")) as warm:
        await warm.send("hello")
        await warm.recv()
    client = server_process.upgrade(b"/flood")
    client.sendall(client_frame(json.dumps({"frames": 20, "by": "extension", "turn": 1000}).encode()))

    # The first frame of the twenty ends a turn (0 % turn); the others come together.
    first_byte = client.recv(1)
    assert comes_true(60, lambda: len(client.recv(1 << 20, 2)) >= 19 * 1000)  # 2: MSG_PEEK
    client.close()

    assert first_byte == b"\x81"


@pytest.mark.parametrize("by", ["extension", "sends"])
def test_a_client_that_stops_reading_is_cut_and_costs_little(server_process: ServerProcess, by: str) -> None:
    before = server_process.state()
    client = server_process.upgrade(b"/flood", receive_buffer=4096)
    resting = server_process.rss

    began = time.monotonic()
    client.sendall(client_frame(json.dumps({"frames": 20_000, "by": by}).encode()))
    assert comes_true(60, lambda: server_process.state().get("disconnected", 0) > before.get("disconnected", 0))
    took = time.monotonic() - began

    assert server_process.state()["codes"][-1] == 4431
    assert server_process.rss - resting < 2 * MIB + MIB  # the last for what Python itself takes meanwhile
    assert took < 30
    client.close()


def test_a_client_that_reads_too_slowly_is_told_by_the_close_code(server_process: ServerProcess) -> None:
    client = server_process.upgrade(b"/flood", receive_buffer=4096)
    client.sendall(client_frame(json.dumps({"frames": 20_000, "by": "extension"}).encode()))

    received = parse_frames(read_all(client))
    client.close()

    *messages, (opcode, payload) = received
    assert (opcode, struct.unpack("!H", payload[:2])[0]) == (8, 4431)
    assert [int(json.loads(text)["n"]) for _, text in messages] == list(range(len(messages)))
    assert len(messages) < 20_000


async def test_others_do_not_feel_a_client_that_stops_reading(server_process: ServerProcess) -> None:
    stopped = [server_process.upgrade(b"/flood", receive_buffer=4096) for _ in range(5)]
    async with websockets.connect(server_process.ws("/echo")) as connection:
        for client in stopped:
            client.sendall(client_frame(json.dumps({"frames": 2000, "by": "extension"}).encode()))
        async with asyncio.timeout(60):
            for number in range(100):
                await connection.send(str(number))
                assert await connection.recv() == str(number)
    for client in stopped:
        client.close()


async def test_a_close_comes_after_what_was_sent_before_it(server_process: ServerProcess) -> None:
    async with websockets.connect(server_process.ws("/echo")) as connection:
        for text in ("one", "two", "close"):
            await connection.send(text)
        received = [await connection.recv(), await connection.recv()]
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await connection.recv()

    assert received == ["one", "two"]
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4400, "as you say")


async def test_a_close_behind_what_a_client_has_not_read_ends_the_connection_as_soon_as_it_has(
    server_process: ServerProcess,
) -> None:
    def read_and_close() -> float:
        client = server_process.upgrade(b"/large", receive_buffer=4096)
        client.sendall(client_frame(b"400000"))
        time.sleep(0.3)  # the kernel's buffers are full
        client.sendall(client_frame(struct.pack("!H", 1000), opcode=8))

        began = time.monotonic()
        received = parse_frames(read_all(client))
        seconds = time.monotonic() - began
        client.close()

        assert [(opcode, len(payload)) for opcode, payload in received] == [(1, 400_000), (8, 2)]
        return seconds

    # A second after its close frame the connection is aborted.
    assert await fastest_reported_seconds(partial(asyncio.to_thread, read_and_close), under=0.9) < 0.9


async def test_a_client_that_closes_gets_what_was_on_its_way_and_its_close_back(
    server_process: ServerProcess,
) -> None:
    client = server_process.upgrade(b"/echo")
    client.sendall(
        client_frame(b"one")
        + client_frame(b"two")
        + client_frame(b"", opcode=9)
        + client_frame(struct.pack("!H", 1000), opcode=8)
    )

    received = parse_frames(read_all(client))
    client.close()

    # The application may not have spoken before the socket closed; what the protocol answers, it answers.
    assert [frame for frame in received if frame[0] != 1] == [(10, b""), (8, struct.pack("!H", 1000))]
