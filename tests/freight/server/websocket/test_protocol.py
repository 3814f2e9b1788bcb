"""A WebSocket between a fake transport and a fake server: frames, timeouts, backpressure."""

# ruff: noqa: N802  method names of Twisted

import asyncio
import gc
import struct
import time
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.protocol import Protocol

from freight.server.websocket import protocol
from freight.server.websocket.handshake_parser import HandshakeRequest
from freight.server.websocket.protocol import WebSocketFactory, WebSocketProtocol
from freight.server.websocket.receive_queue import ReceiveQueue
from freight.server.websocket.send_buffer import SendBuffer
from tests.freight.server.server_process import client_frame, parse_frames

REQUEST = HandshakeRequest(b"/ws/", b"", [], ["a"], "dGhlIHNhbXBsZSBub25jZQ==")
TEXT = "Grüße 📦".encode()


class Transport:
    """A Twisted transport whose kernel takes everything."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []
        self.reading = True
        self.socket = SimpleNamespace(setsockopt=lambda *_: None, send=self._send)
        self.dataBuffer, self.offset, self._tempDataLen = b"", 0, 0
        self.producerPaused = False
        self.getPeer = self.getHost = lambda: SimpleNamespace(host="127.0.0.1", port=1)

    def _send(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def write(self, data: bytes) -> None:
        self.written += data

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Do nothing: it is always empty."""

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class Server:
    """What a WebSocket uses of its DaphneServer."""

    server_name, root_path = "freight", ""
    websocket_handshake_timeout, ping_interval, ping_timeout = 5, 20, 20
    websocket_max_message_size = 65536

    def __init__(self) -> None:
        self.queue = ReceiveQueue()
        self.connected = 0

    def protocol_connected(self, _: Any) -> None:
        self.connected += 1

    def protocol_disconnected(self, _: Any) -> None:
        self.connected -= 1

    def create_application(self, _: Any, scope: dict[str, Any]) -> ReceiveQueue:
        return self.queue


class Connection:
    """A WebSocket with its transport and its server."""

    def __init__(self, *, accept: bool = True) -> None:
        self.server, self.transport = Server(), Transport()
        self.socket: WebSocketProtocol = WebSocketFactory(self.server).buildProtocol(None)
        self.socket.makeConnection(self.transport)
        self.transport.calls.clear()
        self.socket.start_handshake(REQUEST)
        assert self.events() == [{"type": "websocket.connect"}]
        if accept:
            self.socket.handle_reply({"type": "websocket.accept"})

    def events(self) -> list[dict[str, Any]]:
        events, self.server.queue._events = self.server.queue._events, []
        return events

    async def sent(self) -> list[tuple[int, bytes]]:
        """Return the frames that were sent, after what is scheduled on the event loop has run."""
        for _ in range(20):
            await asyncio.sleep(0)
        return parse_frames(self.transport.written.partition(b"\r\n\r\n")[2])


def close(code: int) -> bytes:
    return struct.pack("!H", code)


def text(payload: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": payload}


CONVERSATION = (
    client_frame(b"one")
    + client_frame(TEXT[:3], final=False)  # in the midst of a character
    + client_frame(b"?", opcode=9)
    + client_frame(b"", opcode=0, final=False)
    + client_frame(TEXT[3:], opcode=0)
    + client_frame(b"\xff\x00" * 100, opcode=2)
    + client_frame(b"", opcode=10)
    + client_frame(b"x" * 20_000)
    + client_frame(close(1000) + b"bye", opcode=8)
    + client_frame(b"after")
)


@given(cuts=st.lists(st.integers(0, 20_500)))
def test_however_a_stream_is_cut_it_says_the_same(cuts: list[int]) -> None:
    asyncio.run(_says_the_same(cuts))


async def test_byte_by_byte_it_says_the_same() -> None:
    await _says_the_same(list(range(len(CONVERSATION))))


async def _says_the_same(cuts: list[int]) -> None:
    connection = Connection()
    edges = [0, *sorted(cuts), len(CONVERSATION)]
    for start, end in pairwise(edges):
        connection.socket.dataReceived(CONVERSATION[start:end])

    assert connection.events() == [
        text("one"),
        text(TEXT.decode()),
        {"type": "websocket.receive", "bytes": b"\xff\x00" * 100},
        text("x" * 20_000),
    ]
    assert await connection.sent() == [(10, b"?"), (8, close(1000) + b"bye")]
    assert connection.transport.calls == ["unregisterProducer", "loseConnection"]
    connection.socket.connectionLost()
    assert connection.events() == [{"type": "websocket.disconnect", "code": 1000}]
    assert connection.server.connected == 0


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (client_frame(b"x", final=False) + client_frame(b"y"), 1002),
        (client_frame(b"", opcode=9, final=False), 1002),
        (b"\xc1\x80" + bytes(4), 1002),  # a reserved bit
        (client_frame(b"x", opcode=8), 1002),
        (client_frame(close(1005), opcode=8), 1002),
        (client_frame(close(1000) + b"\xff", opcode=8), 1007),
        (client_frame(TEXT[:3]), 1007),
        (client_frame(b"x" * 40_000, final=False) + client_frame(b"x" * 40_000, opcode=0), 1009),
    ],
    ids=["message in message", "cut ping", "reserved", "half a code", "forbidden code", "reason", "UTF-8", "large"],
)
async def test_what_breaks_the_protocol_ends_with_its_code_and_nothing_behind_it_counts(
    bad: bytes, code: int
) -> None:
    connection = Connection()
    connection.socket.dataReceived(bad + client_frame(b"behind") + client_frame(b"", opcode=9))
    connection.socket.dataReceived(client_frame(b"later"))

    # A ping in the same read may have been answered already.
    (opcode, payload), *more = [frame for frame in await connection.sent() if frame != (10, b"")]
    assert (opcode, payload[:2], more) == (8, close(code), [])
    assert connection.events() == []
    # The client ends the connection: closed with data unread it would be reset, and the close frame lost.
    assert connection.transport.calls == ["unregisterProducer", "loseWriteConnection"]


async def test_a_client_that_does_not_answer_a_close_is_cut_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_CLOSE_SECONDS", 0.5)
    connection = Connection()
    connection.socket.handle_reply({"type": "websocket.close", "code": 4401, "reason": "ü" * 100})
    connection.socket.dataReceived(client_frame(b"too late") + client_frame(b"", opcode=9))
    connection.socket.handle_reply({"type": "websocket.send", "text": "too late"})

    (opcode, payload), *more = await connection.sent()
    assert (opcode, payload[:2], payload[2:].decode(), more) == (8, close(4401), "ü" * 61, [])
    assert connection.transport.calls == []
    await asyncio.sleep(0.6)
    assert connection.transport.calls == ["abortConnection"]
    assert connection.events() == []


async def test_a_client_that_floods_on_behind_a_close_is_not_read_from() -> None:
    connection = Connection()
    connection.socket.handle_reply({"type": "websocket.close", "code": 4429})
    connection.socket.dataReceived(client_frame(b"", opcode=9) * 1000)

    assert await connection.sent() == [(8, close(4429))]
    assert not connection.transport.reading


async def test_an_answered_close_closes_at_once_and_the_application_is_told_the_clients_code() -> None:
    connection = Connection()
    connection.socket.handle_reply({"type": "websocket.close"})
    connection.socket.dataReceived(client_frame(b"crossed") + client_frame(close(1000), opcode=8))

    assert await connection.sent() == [(8, close(1000))]
    assert connection.transport.calls == ["unregisterProducer", "loseConnection"]
    connection.socket.connectionLost()
    assert connection.events() == [{"type": "websocket.disconnect", "code": 1000}]


async def test_a_silent_client_is_pinged_and_cut_when_it_stays_silent() -> None:
    connection = Connection()
    connection.socket.check_timeouts()
    assert await connection.sent() == []

    connection.socket.last_received -= 21
    connection.socket.check_timeouts()
    connection.socket.check_timeouts()
    assert await connection.sent() == [(9, b"")]

    connection.socket.dataReceived(client_frame(b"", opcode=10))  # it lives
    connection.socket.last_received -= 21
    connection.socket._last_ping -= 21
    connection.socket.check_timeouts()
    assert (await connection.sent(), connection.transport.calls) == ([(9, b""), (9, b"")], [])

    connection.socket._last_ping = time.monotonic() - 20.5
    connection.socket.last_received -= 21
    connection.socket.check_timeouts()
    assert connection.transport.calls == ["abortConnection"]


async def test_a_handshake_that_the_application_does_not_answer_is_refused() -> None:
    connection = Connection(accept=False)
    connection.socket.last_received -= 6
    connection.socket.check_timeouts()
    connection.socket.handle_exception(ValueError())

    assert connection.transport.written.startswith(b"HTTP/1.1 503 ")
    assert connection.transport.calls == ["unregisterProducer", "loseConnection"]


async def test_what_comes_before_accept_waits_for_it() -> None:
    connection = Connection(accept=False)
    connection.socket.dataReceived(client_frame(b"early"))
    connection.socket.dataReceived(client_frame(b"bird"))
    assert (connection.events(), connection.transport.reading) == ([], False)

    connection.socket.handle_reply({"type": "websocket.accept", "subprotocol": "a"})

    assert (connection.events(), connection.transport.reading) == ([text("early"), text("bird")], True)
    await connection.sent()
    assert b"\r\nSec-WebSocket-Protocol: a\r\n" in connection.transport.written


@pytest.mark.parametrize(
    "message",
    [{"type": "websocket.accept"}, {"type": "websocket.nothing"}, {"type": "websocket.close", "code": 1005}],
    ids=["twice", "unknown", "forbidden code"],
)
async def test_an_application_is_told_of_its_mistakes(message: dict[str, Any]) -> None:
    connection = Connection()
    with pytest.raises((ValueError, ProtocolError)):
        connection.socket.handle_reply(message)

    connection.socket.handle_exception(ValueError())
    assert await connection.sent() == [(8, close(1011))]


async def test_reading_pauses_while_the_application_is_behind() -> None:
    connection = Connection()
    connection.socket.dataReceived(b"".join(client_frame(b"%d" % number) for number in range(1000)))
    received: list[str] = []
    while len(received) < 1000:
        assert connection.server.queue.qsize() <= 32 + 85
        assert connection.server.queue.qsize() < 32 or not connection.transport.reading
        received.append((await connection.server.queue.get())["text"])
        await asyncio.sleep(0)

    assert received == [str(number) for number in range(1000)]
    assert connection.transport.reading


@pytest.mark.parametrize("frame", [client_frame(b"", opcode=9), client_frame(b"", opcode=10)], ids=["ping", "pong"])
async def test_one_turn_takes_only_so_many_frames(frame: bytes) -> None:
    connection, taken = Connection(), list[bool]()

    def allow_frame() -> bool:
        taken.append(True)
        return True

    connection.socket.send_buffer.on_frame(allow_frame)
    connection.socket.dataReceived(frame * 1000)

    while len(taken) < 1000:
        before = len(taken)
        assert not connection.transport.reading
        await asyncio.sleep(0)
        assert 0 < len(taken) - before <= 64 + 85
    assert connection.transport.reading


@pytest.mark.parametrize(
    "last", [b"", client_frame(close(1000), opcode=8), client_frame(b"\xff")], ids=["lost", "closed", "broken"]
)
async def test_a_lost_connection_leaves_nothing_for_the_collector(last: bytes) -> None:
    # By its type: to ask a lazy object of another test for its class evaluates it.
    kinds = (WebSocketProtocol, Protocol, SendBuffer, ReceiveQueue)
    of_others = [each for each in gc.get_objects() if issubclass(type(each), kinds)]
    connection = Connection()
    connection.socket.send_buffer.on_frame(partial(bool, connection.socket))
    connection.socket.dataReceived(client_frame(b"whole") + last)
    await connection.sent()
    gc.collect()
    gc.disable()
    try:
        connection.socket.connectionLost()
        del connection
        await asyncio.sleep(0)
        left = [each for each in gc.get_objects() if issubclass(type(each), kinds)]
        assert [each for each in left if all(each is not other for other in of_others)] == []
    finally:
        gc.enable()


async def test_frames_are_counted_and_nothing_is_read_behind_one_too_many() -> None:
    connection, counted = Connection(), list[bool]()

    def allow_five() -> bool:
        if len(counted) == 5:
            return False
        counted.append(True)
        return True

    connection.socket.send_buffer.on_frame(allow_five)
    connection.socket.dataReceived(
        client_frame(b"a", final=False) + client_frame(b"b", opcode=0, final=False) + client_frame(b"c", opcode=0)
    )
    connection.socket.dataReceived(client_frame(b"whole"))
    connection.socket.dataReceived(client_frame(b"", opcode=9) * 3 + client_frame(b"", opcode=10) * 30)
    assert (len(counted), connection.transport.reading) == (5, False)
    assert connection.events() == [text("abc"), text("whole")]

    connection.socket.handle_reply({"type": "websocket.close", "code": 4429})

    assert (await connection.sent())[-1] == (8, close(4429))
    assert connection.transport.reading  # for the client's close frame
    connection.socket.connectionLost()
    connection.socket.send_buffer.on_frame(lambda: True)  # nobody is there any more
    assert connection.socket.allow_frame is None
