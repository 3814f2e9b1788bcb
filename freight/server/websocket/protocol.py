"""A WebSocket between a Twisted transport and an ASGI application.

The sans-I/O `Protocol` of the library `websockets` implements RFC 6455. This module adds what the library leaves to
its user: limits, backpressure in both directions, timeouts, and the ASGI events.
"""

# ruff: noqa: N802  method names of Twisted

import asyncio
import logging
import time
from typing import Any, Final

from twisted.internet.interfaces import IProtocol
from websockets.frames import CLOSE, CONT, DATA_OPCODES, TEXT, CloseCode
from websockets.protocol import CLOSED, CONNECTING, OPEN, SERVER, Protocol
from zope.interface import implementer

from freight.server.websocket import framing
from freight.server.websocket.handshake import HandshakeProtocol
from freight.server.websocket.loop_throttle import LoopThrottle
from freight.server.websocket.send_buffer import FlushScheduler

SLOW_CONSUMER: Final = 4431
# Reading pauses while as many messages wait for the application.
_HIGH_WATER_MARK: Final = 32
# Fragments of one message: empty ones would never exceed its size limit.
_MAX_FRAGMENTS: Final = 1024
# How long the client may take to read up to a close frame and to answer it.
_CLOSE_SECONDS: Final = 1.0
# RFC 6455: a control frame has up to 125 bytes, two of them the close code.
_MAX_REASON_BYTES: Final = 123
# Bytes parsed at once: at most 85 frames, in a third of a millisecond.
_PARSE_BYTES: Final = 512
# Frames of one socket that are handled in one iteration of the event loop; the rest waits for a later one.
_FRAMES_PER_ITERATION: Final = 64
_PING: Final = b"\x89\x00"

_log: Final = logging.getLogger("websockets.server")
_log.setLevel(logging.WARNING)  # at INFO it logs two lines for each connection


@implementer(IProtocol)
class WebSocketProtocol(HandshakeProtocol):
    """One WebSocket; whatever it sends goes through its send buffer, in order."""

    __slots__ = (
        "_close_timer", "_engine", "_fragments", "_is_slow", "_is_text", "_last_ping", "_paused", "_unparsed",
        "allow_frame",
    )  # fmt: skip

    def __init__(self, factory: Any) -> None:
        """Start without an engine: `accept` makes it."""
        super().__init__(factory)
        self.allow_frame: Any = None
        self._engine: Any = None
        self._fragments: list[bytes] = []
        self._is_text = self._paused = self._is_slow = False
        self._unparsed = b""
        self._last_ping = 0.0
        self._close_timer: asyncio.TimerHandle | None = None

    # -- what the server calls ------------------------------------------------------------------------------

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Handle an event of the application; raise ValueError for an unknown one and one out of order."""
        kind = message["type"]
        if kind == "websocket.send":
            self._send(message)
        elif kind == "websocket.accept":
            self.accept(message.get("subprotocol"))
        elif kind != "websocket.close":
            raise ValueError(f"There is no ASGI event {kind!r} for a WebSocket.")
        elif self.state is CONNECTING:
            self.refuse(403, "Access denied")
        else:
            self.close(message.get("code") or CloseCode.NORMAL_CLOSURE, message.get("reason") or "")

    def handle_exception(self, exception: BaseException) -> None:
        """Answer 500 or close with 1011: the application has failed."""
        if self.state is CONNECTING:
            self.refuse(500, "Internal server error")
        else:
            self.close(CloseCode.INTERNAL_ERROR)

    def check_timeouts(self) -> None:
        """Ping a silent client, abort one that does not answer, refuse a handshake without an answer.

        The server calls it every two seconds.
        """
        now, server = time.monotonic(), self.server
        if self.state is CONNECTING and now - self.last_received > server.websocket_handshake_timeout:
            self.refuse(503, "Service Unavailable")
        elif self.state is not OPEN or self._paused or now - self.last_received <= server.ping_interval:
            return  # while reading is paused, a silent client may well be alive
        elif self._last_ping < self.last_received:
            self._last_ping = now
            self.send_buffer.put(_PING)
        elif now - self._last_ping > server.ping_timeout:
            self.transport.abortConnection()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; the client has a second to answer it."""
        if self.state is OPEN:
            reason = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
            self._engine.send_close(code, reason)
            self._transfer()
            self._resume()

    def close_slow(self) -> None:
        """Drop the buffered frames and close with SLOW_CONSUMER."""
        self.send_buffer.clear()
        self._is_slow = True
        self.close(SLOW_CONSUMER, "The client reads too slowly.")

    def _send(self, message: dict[str, Any]) -> None:
        if self.state is CONNECTING:
            raise ValueError("The WebSocket has not been accepted.")
        text, data = message.get("text"), message.get("bytes")
        if self.state is OPEN and (text is not None or data is not None):
            payload = data if text is None else text.encode()
            self.send_buffer.put(framing.encode_frame(payload or b"", binary=text is None))

    # -- what the transport calls ---------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Parse data, or keep it while reading is paused; a request that Daphne has written out comes first."""
        self.last_received = time.monotonic()
        if self._paused:
            self._unparsed += data
        elif self.state is not CONNECTING:
            self._parse(data)
        elif self.handshake is None:
            self.start_rewritten_handshake(data)
        else:
            self._pause(data)  # until the application has accepted

    def connectionLost(self, reason: Any = None) -> None:
        """Send the application `websocket.disconnect`, and break reference cycles: the object is freed at once."""
        engine = self._engine
        received = engine.close_rcvd.code if engine and engine.close_rcvd else CloseCode.ABNORMAL_CLOSURE
        self.state = CLOSED
        if self.application_queue is not None:
            self.server.protocol_disconnected(self)
            code = SLOW_CONSUMER if self._is_slow else int(received)
            self.application_queue.on_low_water = None
            self.application_queue.put_nowait({"type": "websocket.disconnect", "code": code})
        if self._close_timer is not None:
            self._close_timer.cancel()
        if engine is not None:
            vars(engine).clear()  # its parser is a generator that refers to it
        self._engine = self._close_timer = self.allow_frame = None
        self._unparsed = b""
        self.send_buffer.detach()

    # -- receiving ------------------------------------------------------------------------------------------

    def accept(self, subprotocol: str | None) -> None:
        """Open the socket and parse what the client has sent meanwhile."""
        super().accept(subprotocol)
        self._engine = Protocol(SERVER, max_size=self.server.websocket_max_message_size, logger=_log)
        self._resume()

    def _parse(self, data: bytes) -> None:
        """Handle frames until all are, the receive queue is full, or the limit of one iteration is reached."""
        if self.state is CLOSED:
            return
        engine, frames = self._engine, 0
        for end in range(_PARSE_BYTES, len(data) + _PARSE_BYTES, _PARSE_BYTES):
            engine.receive_data(data[end - _PARSE_BYTES : end])
            received = engine.events_received()
            frames += len(received)
            for frame in received:
                if self.state is not OPEN or not self._receive_frame(frame):
                    break
            self._transfer()
            if self._paused:
                self._unparsed = data[end:]
                return
            if frames >= _FRAMES_PER_ITERATION and end < len(data):
                self._pause(data[end:])
                if self.state is OPEN:  # behind our close frame a flood is not read
                    self.factory.read_throttle.add(self._resume)
                return

    def _receive_frame(self, frame: Any) -> bool:
        """Handle one frame; return whether those behind it are to be handled."""
        opcode, fragments = frame.opcode, self._fragments
        if opcode is CLOSE:
            return True
        if opcode not in DATA_OPCODES:
            return self._count_frame()
        if opcode is not CONT:
            self._is_text = opcode is TEXT
        elif not self._count_frame():
            return False
        fragments.append(frame.data)
        if frame.fin:
            self._fragments = []
            return self._receive_message(b"".join(fragments))
        return len(fragments) <= _MAX_FRAGMENTS or self._fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")

    def _receive_message(self, payload: bytes) -> bool:
        event: dict[str, Any] = {"type": "websocket.receive"}
        try:
            event |= {"text": payload.decode()} if self._is_text else {"bytes": payload}
        except UnicodeDecodeError:
            return self._fail(CloseCode.INVALID_DATA, "invalid UTF-8")
        queue = self.application_queue
        queue.put_nowait(event)
        if queue.qsize() >= _HIGH_WATER_MARK and not self._paused:
            self._pause()
            queue.on_low_water = self._resume
        return True

    def _fail(self, code: int, reason: str) -> bool:
        self._engine.fail(code, reason)
        return False

    def _count_frame(self) -> bool:
        """Have the application count a frame that ends no message; pause reading where it refuses."""
        if self.allow_frame is None or self.allow_frame():
            return True
        self._pause()
        return False

    def _pause(self, unparsed: bytes = b"") -> None:
        self._paused = True
        self._unparsed = unparsed
        self.transport.pauseProducing()

    def _resume(self) -> None:
        if self._paused and self.state is not CLOSED:
            self._paused = False
            data, self._unparsed = self._unparsed, b""
            if data:
                self._parse(data)
            if not self._paused:
                self.transport.resumeProducing()

    # -- sending --------------------------------------------------------------------------------------------

    def _transfer(self) -> None:
        """Send the output of the engine: pongs, the close frame, the end of the connection."""
        engine = self._engine
        for data in engine.data_to_send():
            if not data:
                self._end()
            elif self.state is OPEN:  # no pongs behind our close frame
                self.send_buffer.put(data)
        if self.state is OPEN and engine.state is not OPEN:
            self.state = engine.state
            abort = self.transport.abortConnection
            self._close_timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, abort)

    def _end(self) -> None:
        """Close the connection after a closing handshake; after a protocol error, only our half of it.

        A connection that is closed with unread data is reset, which may destroy the close frame on its way.
        """
        self.send_buffer.finish()
        if self._engine.close_rcvd is not None:
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def __repr__(self) -> str:
        return f"<WebSocketProtocol client={self.transport.getPeer()}>"


class WebSocketFactory:
    """Makes the protocols of WebSockets, and holds what all of them share."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.flush_scheduler = FlushScheduler()
        self.read_throttle = LoopThrottle()

    def buildProtocol(self, _: Any) -> WebSocketProtocol:
        """Return the protocol of a connection that is about to be upgraded."""
        return WebSocketProtocol(self)
