"""The handshake of a WebSocket: from the request to the application's answer."""

# ruff: noqa: N802  method names of Twisted

import socket
import time
from contextlib import suppress
from typing import Any, Final

from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.protocol import CLOSED, CONNECTING, OPEN, State
from websockets.utils import accept_key

from freight.server.websocket.handshake_parser import HandshakeRequest, parse_rewritten
from freight.server.websocket.send_buffer import SendBuffer

# SO_SNDBUF of one socket; Linux doubles it for its own overhead.
_KERNEL_SEND_BYTES: Final = 128 * 1024


class HandshakeProtocol:
    """A connection from its handshake request until it is open; what only the handshake needs is dropped then."""

    __slots__ = (
        "_raw_query_string", "application_queue", "factory", "handshake", "last_received", "send_buffer", "server",
        "state", "transport",
    )  # fmt: skip

    def __init__(self, factory: Any) -> None:
        """Start without a transport; `factory` holds what all sockets share."""
        self.factory, self.server = factory, factory.server
        self.state: State = CONNECTING
        self.handshake: HandshakeRequest | None = None
        self.application_queue: Any = None
        self.last_received = time.monotonic()

    def makeConnection(self, transport: Any) -> None:
        """Take over the connection of an HTTP channel, which has set TCP_NODELAY."""
        self.transport = transport
        with suppress(OSError):
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_SEND_BYTES)
        transport.unregisterProducer()  # the HTTP channel
        self.send_buffer = SendBuffer(self, transport, self.factory.flush_scheduler)
        transport.registerProducer(self.send_buffer, True)

    def start_rewritten_handshake(self, data: bytes) -> None:
        """Parse a request that Daphne has written out again, and start its application or refuse it."""
        parsed = parse_rewritten(data)
        if isinstance(parsed, Response):
            self._respond(parsed)
        else:
            self.start_handshake(parsed)

    def start_handshake(self, request: HandshakeRequest) -> None:
        """Start the application, which accepts or closes."""
        self.handshake = request
        self.server.protocol_connected(self)
        self.application_queue = self.server.create_application(
            self,
            {
                "type": "websocket",
                "path": request.path,
                "raw_path": request.raw_path,
                "root_path": self.server.root_path if request.root_path is None else request.root_path,
                "headers": request.headers,
                "query_string": request.query_string,
                "client": _address(self.transport.getPeer()),
                "server": _address(self.transport.getHost()),
                "subprotocols": request.subprotocols,
            },
        )
        self.application_queue.put_nowait({"type": "websocket.connect"})

    def accept(self, subprotocol: str | None) -> None:
        """Open the socket; raise ValueError for a subprotocol that the client has not offered."""
        request = self.handshake
        if self.state is not CONNECTING or request is None:
            raise ValueError("The WebSocket has been accepted or closed before.")
        if subprotocol is not None and subprotocol not in request.subprotocols:
            raise ValueError(f"The client has not offered the subprotocol {subprotocol!r}.")
        subprotocol_header = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol is not None else ""
        self.send_buffer.put(
            f"HTTP/1.1 101 Switching Protocols\r\nServer: {self.server.server_name}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\n{subprotocol_header}"
            f"Sec-WebSocket-Accept: {accept_key(request.key)}\r\n\r\n".encode()
        )
        self.state = OPEN
        self.handshake = None

    def refuse(self, status: int, reason: str) -> None:
        """Answer the request with an HTTP error and close the connection."""
        if self.state is CONNECTING:
            self._respond(Response(status, reason, Headers({"Content-Length": "0", "Connection": "close"})))
            self.server.protocol_disconnected(self)

    def _respond(self, response: Response) -> None:
        self.state = CLOSED
        response.headers["Server"] = self.server.server_name
        self.send_buffer.put(response.serialize())
        self.send_buffer.finish()
        self.transport.loseConnection()


def _address(address: Any) -> list[Any] | None:
    return [str(address.host), address.port] if hasattr(address, "host") and hasattr(address, "port") else None
