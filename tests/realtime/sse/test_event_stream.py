"""One event stream: encoded events, keep-alive comments, and a client that reads too slowly."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from realtime.hub.room_hub import RoomHub
from realtime.protocol import frames
from realtime.sse import event_stream
from realtime.sse.event_stream import EventStream


@pytest_asyncio.fixture
async def stream() -> AsyncIterator[EventStream]:
    stream = EventStream(None, "127.0.0.1", RoomHub())
    yield stream
    stream.end()


def update(seq: int, size: int = 10) -> bytes:
    return frames.update(
        room="shipment:A",
        reference="A",
        epoch="e.1",
        seq=seq,
        event={"seq": seq, "text": "x" * size},
        shipment=None,
    )


class Response:
    """The ASGI response: records what is sent; while `unblocked` is clear, `send` does not return."""

    def __init__(self) -> None:
        self.text = b""
        self.complete = False
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.disconnected: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def send(self, message: dict[str, Any]) -> None:
        self.text += message["body"]
        self.complete = not message.get("more_body", False)
        await self.unblocked.wait()

    async def receive(self) -> dict[str, Any]:
        return await self.disconnected


async def test_frames_become_events_with_their_cursor(stream: EventStream) -> None:
    response = Response()
    running = asyncio.create_task(stream.run(response.receive, response.send))
    joined = frames.joined_with_snapshot(
        echo=None, room="shipment:A", epoch="e.1", seq=1, reason="new", snapshot={"seq": 1}
    )
    replayed = frames.joined_with_events(echo=None, room="shipment:A", epoch="e.1", seq=1, events=[])
    room_left = frames.room_left(room="shipment:A", reason="deleted")
    for frame in (joined, replayed, update(2), room_left):
        stream.deliver(frame)

    assert await running == "ended"

    assert response.complete
    assert response.text.partition(b"\n\n")[0].startswith(b"retry: ")
    assert response.text.partition(b"\n\n")[2] == b"".join(
        [
            b"id: e.1:1\nevent: snapshot\ndata: " + joined + b"\n\n",
            b"id: e.1:1\nevent: replay\ndata: " + replayed + b"\n\n",
            b"id: e.1:2\nevent: shipment:update\ndata: " + update(2) + b"\n\n",
            b"event: room:left\ndata: " + room_left + b"\n\n",
        ]
    )


async def test_a_slow_client_is_cut_off_and_its_response_stays_incomplete(stream: EventStream) -> None:
    response = Response()
    response.unblocked.clear()
    running = asyncio.create_task(stream.run(response.receive, response.send))

    for seq in range(2000):
        stream.deliver(update(seq, 1000))
        await asyncio.sleep(0)

    assert await running == "slow"
    assert stream.closed
    assert not response.complete


async def test_a_silent_stream_sends_keep_alive_comments(
    stream: EventStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEPALIVE_SECONDS", (0.01, 0.02))
    response = Response()
    running = asyncio.create_task(stream.run(response.receive, response.send))

    async with asyncio.timeout(10):
        while response.text.count(b": still here\n\n") < 3:  # noqa: ASYNC110  the response has no event for it
            await asyncio.sleep(0.01)
    response.disconnected.set_result({"type": "http.disconnect"})

    assert await running == "left"
    assert stream.closed
