"""An HTTP request: its application waits for a slow reader instead of filling the memory."""

import asyncio
from typing import Any
from weakref import WeakSet

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.web.http import HTTPChannel

from freight.server import http_responses, transport_buffer
from freight.server.websocket import handshake_parser


class _ResumeProducer:
    """The producer that Twisted tells when the transport is empty, or gone."""

    def __init__(self) -> None:
        self.resumed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:
        if not self.resumed.done():
            self.resumed.set_result(None)

    stopProducing = resumeProducing

    def pauseProducing(self) -> None:
        """The transport has enough; the application waits anyway."""


class Request(WebRequest):  # type: ignore[misc]
    """One request and its response."""

    # The beginning of a response of which nothing has been written.
    _pending_start: dict[str, Any] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        """Make a request whose body Twisted does not look into, for forms that nobody asks it for."""
        super().__init__(*args, parsePOSTFormSubmission=False, **options)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Write a part of the response, one that is there as a whole at once."""
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
        """Tell whether the beginning of a response can be written together with what follows it."""
        open_ = not self.finished and self.channel is not None and not self._response_started
        return open_ and "status" in head and not self.server.draining and not self.server.action_logger

    def _start_response(self, head: dict[str, Any]) -> None:
        """Begin a response; while the process drains it is the connection's last."""
        if self.server.draining and self.channel is not None:
            self.channel.persistent = False
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().handle_reply(head)

    def _write_complete_response(self, head: dict[str, Any], message: dict[str, Any]) -> bool:
        """Write the whole response and end it, unless it has to go the usual way."""
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
        """Wait while much has not been taken by the client, and end when it goes."""
        transport = self.channel.transport
        if transport_buffer.buffered_bytes(transport) <= transport_buffer.PAUSE_BYTES:
            return
        self.server.stalls.watch(transport)
        resumption = _ResumeProducer()
        self.registerProducer(resumption, True)
        try:
            await resumption.resumed
        finally:
            if self.channel is not None:
                self.unregisterProducer()
            self.producer = None

    def finish(self) -> None:
        """End the response, and look after a reader who does not take the rest of it."""
        transport = self.channel.transport if self.channel is not None else None
        super().finish()
        if transport is not None and transport_buffer.buffered_bytes(transport) > transport.bufferSize:
            self.server.stalls.watch(transport)


class Channel(HTTPChannel):
    """One connection: of requests, or of the socket that its first bytes ask for."""

    _is_first_read = True

    def dataReceived(self, data: bytes) -> None:
        """Take what came."""
        if self._is_first_read:
            self._is_first_read = False
            handshake_request = handshake_parser.parse(data)
            if handshake_request is not None:
                self._upgrade_to_websocket(handshake_request)
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def _upgrade_to_websocket(self, handshake_request: handshake_parser.HandshakeRequest) -> None:
        self.setTimeout(None)  # type: ignore[no-untyped-call]
        transport: Any = self.transport
        socket = self.factory.server.ws_factory.buildProtocol(transport.getPeer())
        transport.protocol = socket
        socket.makeConnection(transport)
        socket.begin(handshake_request)


class RequestFactory(HTTPFactory):  # type: ignore[misc]
    """Makes requests; knows the connections, so that idle ones can be closed when the process ends."""

    protocol = Channel  # Twisted would put another before it, which can change to HTTP/2

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.channels: WeakSet[Any] = WeakSet()

    def log(self, request: Any) -> None:
        """Log nothing: the application has a line of its own, and Twisted would format one for nobody."""

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of a fresh connection."""
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        self.channels.add(protocol)
        return protocol
