"""HTTP requests: backpressure for streams, one write for complete responses, and the upgrade to a WebSocket."""

# ruff: noqa: N802, N815  method names of Twisted

import asyncio
from typing import Any, Final
from weakref import WeakSet

import orjson
from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.web.http import HTTPChannel, _ChunkedTransferDecoder, _MalformedChunkedDataError

from freight.server import http_responses, transport_buffer
from freight.server.websocket import handshake_parser
from monitoring.problems.bodies import problem

# A chunk costs some ten microseconds, whatever it carries. More of them than this are refused where they carry less
# than `_MIN_CHUNK_BYTES` each.
_MAX_TINY_CHUNKS: Final = 2_000
_MIN_CHUNK_BYTES: Final = 16
_TOO_LARGE: Final = orjson.dumps(problem("body_too_large", "The body is larger than any operation takes."))
_TOO_LARGE_RESPONSE: Final = (
    b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_LARGE), _TOO_LARGE)
)


class _ResumeProducer:
    """A push producer whose future resolves when the transport's buffer is empty, or the connection is lost."""

    def __init__(self) -> None:
        self.resumed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:
        if not self.resumed.done():
            self.resumed.set_result(None)

    stopProducing = resumeProducing

    def pauseProducing(self) -> None:
        """Do nothing: the application waits already."""


class Request(WebRequest):  # type: ignore[misc]  # Daphne is untyped
    """One request and its response."""

    # A deferred `http.response.start`: nothing of the response has been written.
    _pending_start: dict[str, Any] | None = None
    # Of the body, as it arrives.
    _body_bytes = 0
    _body_pieces = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        """Make a request whose form body Twisted does not parse: Django does."""
        super().__init__(*args, parsePOSTFormSubmission=False, **options)

    def gotLength(self, length: int | None) -> None:
        """Refuse a body that is announced as larger than any that a view accepts."""
        super().gotLength(length)
        if length is not None and length > self.server.max_body_bytes:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """Store a piece of the body; refuse one that grows too large, or comes in chunks that carry nothing."""
        if self.channel is None or self.channel.transport.disconnecting:
            return
        self._body_bytes += len(data)
        self._body_pieces += 1
        if self._body_bytes > self.server.max_body_bytes:
            self._refuse_body()
            return
        # The pieces of a body with a Content-Length are reads, and a slow line may make them small.
        if (
            self._body_pieces > _MAX_TINY_CHUNKS
            and self._body_bytes < _MIN_CHUNK_BYTES * self._body_pieces
            and isinstance(self.channel._transferDecoder, _ChunkedTransferDecoder)  # noqa: SLF001  Twisted's own
        ):
            raise _MalformedChunkedDataError("The chunks carry less than they cost.")
        super().handleContentChunk(data)

    def _refuse_body(self) -> None:
        self.channel.transport.write(_TOO_LARGE_RESPONSE)
        self.channel.loseConnection()

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Write an event of the response; a complete response is written at once."""
        kind, head = message.get("type"), self._pending_start
        if kind == "http.response.start" and self._can_defer_start(message):
            self._pending_start, self._response_started = message, True
            return
        if head is not None:
            self._pending_start = None
            if (
                kind == "http.response.body"
                and not message.get("more_body")
                and self._write_complete_response(head, message)
            ):
                return
            self._response_started = False
            self._start_response(head)
        if kind == "http.response.start":
            self._start_response(message)
        else:
            super().handle_reply(message)

    def _can_defer_start(self, head: dict[str, Any]) -> bool:
        """Return whether the head of a response may be written together with its body."""
        is_open = not self.finished and self.channel is not None and not self._response_started
        return is_open and "status" in head and not self.server.draining and not self.server.action_logger

    def _start_response(self, head: dict[str, Any]) -> None:
        """Write the head; while the server drains it closes the connection after this response."""
        if self.server.draining and self.channel is not None:
            self.channel.persistent = False
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().handle_reply(head)

    def _write_complete_response(self, head: dict[str, Any], message: dict[str, Any]) -> bool:
        """Write the complete response and finish it; False where it has to take Daphne's path."""
        body = message.get("body", b"")
        if self.finished or self.channel is None or self._disconnected or self.server.draining:
            return False
        data = http_responses.serialize_response(self, head, body)
        if data is None:
            return False
        self.setResponseCode(head["status"])
        self.startedWriting = 1
        self.sentLength = len(body)
        http_responses.write_now(self.channel.transport, data)
        self.finish()
        return True

    async def drain(self) -> None:
        """Wait while more than PAUSE_BYTES is buffered, or until the client disconnects."""
        transport = self.channel.transport
        if transport_buffer.buffered_bytes(transport) <= transport_buffer.PAUSE_BYTES:
            return
        self.server.stalled_connections.watch(transport)
        resumption = _ResumeProducer()
        self.registerProducer(resumption, True)
        try:
            await resumption.resumed
        finally:
            if self.channel is not None:
                self.unregisterProducer()
            self.producer = None

    def finish(self) -> None:
        """Finish the response, and watch a reader that does not take the rest of it."""
        transport = self.channel.transport if self.channel is not None else None
        super().finish()
        if transport is not None and transport_buffer.buffered_bytes(transport) > transport.bufferSize:
            self.server.stalled_connections.watch(transport)


class Channel(HTTPChannel):
    """One connection: HTTP requests, or a WebSocket where its first read is a handshake."""

    _is_first_read = True

    def dataReceived(self, data: bytes) -> None:
        """Parse a handshake in the first read; everything else is HTTP."""
        if self._is_first_read:
            self._is_first_read = False
            handshake_request = handshake_parser.parse_whole(data)
            if handshake_request is not None:
                self._upgrade_to_websocket(handshake_request)
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]  # no hints in Twisted
        transport: Any = self.transport
        if self._dataBuffer and transport.protocol is not self:
            # Daphne has upgraded the connection: what Twisted keeps for the next request are frames.
            early, self._dataBuffer = b"".join(self._dataBuffer), []
            transport.protocol.dataReceived(early)

    def _upgrade_to_websocket(self, handshake_request: handshake_parser.HandshakeRequest) -> None:
        self.setTimeout(None)  # type: ignore[no-untyped-call]  # no hints in Twisted
        transport: Any = self.transport
        socket = self.factory.server.ws_factory.buildProtocol(transport.getPeer())
        transport.protocol = socket
        socket.makeConnection(transport)
        socket.start_handshake(handshake_request)


class RequestFactory(HTTPFactory):  # type: ignore[misc]  # Daphne is untyped
    """Makes channels, and knows them so that the drain can close idle ones."""

    protocol = Channel  # Twisted's default wraps it to negotiate HTTP/2

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.channels: WeakSet[Any] = WeakSet()

    def log(self, request: Any) -> None:
        """Log nothing: the application logs each request."""

    def buildProtocol(self, addr: Any) -> Any:
        """Return the channel of a new connection."""
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        self.channels.add(protocol)
        return protocol
