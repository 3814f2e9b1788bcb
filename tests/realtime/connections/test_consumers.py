"""One socket from handshake to close on a plain ASGI server: it sends heartbeats and leaves nothing behind."""

import asyncio
import gc
import weakref
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async

from realtime import metrics
from realtime.access import authentication
from realtime.access.authentication import AuthenticationResult
from realtime.connections import connection_limits, timer_wheel
from realtime.connections.consumers import SocketConsumer
from realtime.hub import room_hub
from realtime.protocol import frames
from shipments.auth.subjects import Subject
from shipments.selectors import async_pool
from tests import factories

pytestmark = pytest.mark.usefixtures("committed")


class AsgiConnection:
    """A consumer with the server's end of its ASGI connection."""

    def __init__(self) -> None:
        self.consumer = SocketConsumer()
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        headers = [(b"authorization", b"Bearer x")]
        scope = {"type": "websocket", "path": "/ws/", "headers": headers, "client": ["127.0.0.1", 1]}
        self.running = asyncio.create_task(self.consumer(scope, self._incoming.get, self._outgoing.put))
        self.receive({"type": "websocket.connect"})

    def receive(self, message: dict[str, Any]) -> None:
        self._incoming.put_nowait(message)

    def send(self, **frame: Any) -> None:
        self.receive({"type": "websocket.receive", "text": orjson.dumps(frame).decode()})

    async def next_message(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return await self._outgoing.get()

    async def next_frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = orjson.loads((await self.next_message())["text"])
        return frame


@sync_to_async
def dispatcher_with_a_shipment() -> tuple[Subject, str]:
    by = factories.member(factories.organization(), "dispatcher")
    return by, factories.booked_shipment(by).reference


async def test_a_socket_sends_heartbeats_with_its_heads_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by, reference = await dispatcher_with_a_shipment()

    async def authenticate(*_: Any, **__: Any) -> AuthenticationResult:
        return AuthenticationResult(by)

    monkeypatch.setattr(authentication, "authenticate", authenticate)
    monkeypatch.setattr(frames, "HEARTBEAT_SECONDS", 0.3)
    before = metrics.open_sockets()
    connection = AsgiConnection()
    assert (await connection.next_message())["type"] == "websocket.accept"
    welcome = await connection.next_frame()
    assert welcome["type"] == "welcome"
    assert metrics.open_sockets() == before + 1
    connection.send(type="join:room", shipmentId=reference)
    received_frames = [await connection.next_frame() for _ in range(4)]
    joined = next(frame for frame in received_frames if frame["type"] == "room:joined")
    heartbeats = [frame for frame in received_frames if frame["type"] == "heartbeat"]

    assert len(heartbeats) == 3
    assert heartbeats[-1]["heads"] == {joined["room"]: joined["seq"]}

    consumer_ref = weakref.ref(connection.consumer)
    connection.receive({"type": "websocket.disconnect", "code": 1000})
    await asyncio.wait([connection.running], timeout=10)
    assert connection.running.exception() is None
    assert metrics.open_sockets() == before
    assert not timer_wheel.current()._timers
    assert not connection_limits.current().counts
    assert not room_hub.current().rooms
    gc.disable()
    try:
        del connection
        await asyncio.sleep(0)
        assert consumer_ref() is None  # freed by reference counts alone
    finally:
        gc.enable()
    await room_hub.current().stop()
    await connection_limits.current().close()
    await async_pool.close_pools()
