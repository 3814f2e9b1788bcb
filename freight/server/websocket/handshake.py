"""How a WebSocket begins: as Autobahn's and Daphne's do, without what they lay into each and nobody asks for.

Autobahn gives every socket some forty flags, two futures, a description of its transport and a queue for a way of
sending that is not used, writes for logs that nobody keeps, and holds all of the request until the end: a quarter
of a socket's memory. Here what is the same for all stands in the class, what only the handshake needs is dropped
after it, and what differs has slots instead of a dictionary.
"""

# ruff: noqa: N802, N815, S324, SLF001  names and signatures of Autobahn and Twisted

import base64
import hashlib
import time
from typing import Any, Final

from autobahn.websocket.protocol import TrafficStats
from autobahn.websocket.types import ConnectionDeny
from autobahn.websocket.utf8validator import Utf8Validator
from daphne.ws_protocol import WebSocketProtocol

from freight.server.websocket.handshake_parser import HandshakeRequest

_HANDSHAKE_ATTRIBUTES: Final = (
    "_raw_query_string", "_wskey", "application_deferred", "clean_headers", "http_headers", "http_request_data",
    "http_request_host", "http_request_params", "http_request_path", "http_request_uri", "http_response_data",
    "http_status_line", "protocol_to_accept", "request", "root_path", "server_addr", "websocket_extensions",
    "websocket_extensions_in_use", "websocket_origin", "websocket_protocols",
)  # fmt: skip
_LIFETIME_ATTRIBUTES: Final = (
    "application_queue", "client_addr", "current_frame", "data", "factory", "handshake_deferred", "inside_message",
    "last_ping", "openHandshakeTimeoutCall", "path", "send_buffer", "server", "socket_opened", "state",
    "transport", "utf8validator", "websocket_protocol_in_use", "websocket_version",
)  # fmt: skip


class _NullFuture:
    """Whom Autobahn tells of a socket's beginning and end: nobody waits for that."""

    def callback(self, result: object) -> None:
        """Do nothing."""


class _HandshakeResult:
    """What the application's answer is told to, where the opening was read by ourselves."""

    __slots__ = ("_socket",)

    def __init__(self, socket: "HandshakeProtocol") -> None:
        self._socket = socket

    def callback(self, subprotocol: str | None) -> None:
        """Open the socket."""
        self._socket.succeedHandshake(subprotocol)

    def errback(self, denied: ConnectionDeny) -> None:
        """Refuse it."""
        self._socket.failHandshake(denied.reason, denied.code)


class HandshakeProtocol(WebSocketProtocol):  # type: ignore[misc]
    """A WebSocket until it is open."""

    __slots__ = _HANDSHAKE_ATTRIBUTES + _LIFETIME_ATTRIBUTES

    # What Autobahn's __init__ and _connectionMade lay into each socket.
    is_closed = is_open = _NullFuture()
    autoPingPending = autoPingPendingCall = autoPingPendingSent = autoPingTimeoutCall = None
    autoPingPendingSeq = 0
    closedByMe = droppedByMe = failedByMe = wasClean = False
    closeHandshakeTimeoutCall = None
    localCloseCode = localCloseReason = remoteCloseCode = remoteCloseReason = None
    send_state = WebSocketProtocol.SEND_STATE_GROUND
    send_queue = ()  # nothing is sent in pieces
    trackedTimings = None
    trafficStats = TrafficStats()  # type: ignore[no-untyped-call]  # of all together; nobody asks for them
    triggered = False
    wasCloseHandshakeTimeout = wasOpenHandshakeTimeout = wasServerConnectionDropTimeout = False
    wasMaxFramePayloadSizeExceeded = wasMaxMessagePayloadSizeExceeded = False
    wasNotCleanReason = None
    wasServingFlashSocketPolicyFile = False
    _perMessageCompress = None

    def __init__(self) -> None:
        """Lay out nothing: Autobahn's two futures and its events are for those who subscribe to them."""

    def connectionMade(self) -> None:
        """Begin; TCP_NODELAY is on since the HTTP channel had the connection."""
        self.state = self.STATE_CONNECTING
        self.data = b""
        self.utf8validator = Utf8Validator()  # type: ignore[no-untyped-call]
        self.openHandshakeTimeoutCall = None
        if self.openHandshakeTimeout > 0:
            timer = self.factory._batched_timer
            self.openHandshakeTimeoutCall = timer.call_later(self.openHandshakeTimeout, self.onOpenHandshakeTimeout)
        self.factory.countConnections += 1

    def dataReceived(self, data: bytes) -> None:
        """Take what came."""
        self._dataReceived(data)

    def start_handshake(self, handshake: HandshakeRequest) -> None:
        """Go on as Autobahn and Daphne do when they have read an opening and found it good."""
        self.websocket_protocols, self.websocket_version, self._wskey = handshake.subprotocols, 13, handshake.key
        self.path, self.request = handshake.path, handshake
        self.socket_opened = self.last_ping = time.time()
        self.server = self.factory.server_class
        self.server.protocol_connected(self)
        self.client_addr, self.server_addr = map(_address, (self.transport.getPeer(), self.transport.getHost()))
        self.application_queue = self.server.create_application(
            self,
            {
                "type": "websocket",
                "path": handshake.path.decode(),
                "raw_path": handshake.path,
                "root_path": self.server.root_path,
                "headers": handshake.headers,
                "query_string": handshake.query,
                "client": self.client_addr,
                "server": self.server_addr,
                "subprotocols": handshake.subprotocols,
            },
        )
        self.handshake_deferred = _HandshakeResult(self)
        self.application_queue.put_nowait({"type": "websocket.connect"})

    def serverAccept(self, subprotocol: str | None = None) -> None:
        """Accept on behalf of the application; raises ValueError for what the client has not offered."""
        if subprotocol is not None and subprotocol not in self.websocket_protocols:
            raise ValueError(f"The client has not offered the subprotocol {subprotocol!r}.")
        super().serverAccept(subprotocol)

    def succeedHandshake(self, subprotocol: str | None) -> None:
        """Answer and open the socket; no extension that the client may have offered is taken up."""
        accept = base64.b64encode(hashlib.sha1(self._wskey.encode() + self._WS_MAGIC).digest()).decode()
        subprotocol_header = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol is not None else ""
        self.send_buffer.put(
            f"HTTP/1.1 101 Switching Protocols\r\nServer: {self.factory.server}\r\nUpgrade: WebSocket\r\n"
            f"Connection: Upgrade\r\n{subprotocol_header}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self.state = self.STATE_OPEN
        self.websocket_protocol_in_use = subprotocol
        if self.openHandshakeTimeoutCall is not None:
            self.openHandshakeTimeoutCall.cancel()
            self.openHandshakeTimeoutCall = None
        self.inside_message, self.current_frame = False, None
        self._onOpen()
        if self.data:
            self.consumeData()

    def _onOpen(self) -> None:
        for name in _HANDSHAKE_ATTRIBUTES:
            if hasattr(self, name):
                delattr(self, name)


def _address(address: Any) -> list[Any] | None:
    return [str(address.host), address.port] if hasattr(address, "host") and hasattr(address, "port") else None
