# ruff: noqa: N802, N815  Autobahn's names
"""How a WebSocket begins: as Autobahn's and Daphne's do, without what they lay into each and nobody asks for.

Autobahn gives every socket some forty flags, two futures, a description of its transport and a queue for a way of
sending that is not used, writes for logs that nobody keeps, and holds all of the request until the end: a quarter
of a socket's memory. Here what is the same for all stands in the class, what only the handshake needs is dropped
after it, and what differs has slots instead of a dictionary.
"""

from typing import Final

from autobahn.websocket.protocol import TrafficStats
from autobahn.websocket.utf8validator import Utf8Validator
from daphne.ws_protocol import WebSocketProtocol

_OF_THE_HANDSHAKE: Final = (
    "_raw_query_string", "_wskey", "application_deferred", "clean_headers", "http_headers", "http_request_data",
    "http_request_host", "http_request_params", "http_request_path", "http_request_uri", "http_response_data",
    "http_status_line", "protocol_to_accept", "request", "root_path", "server_addr", "websocket_extensions",
    "websocket_extensions_in_use", "websocket_origin", "websocket_protocols",
)  # fmt: skip
_TO_THE_END: Final = (
    "application_queue", "client_addr", "current_frame", "data", "factory", "handshake_deferred", "inside_message",
    "last_ping", "openHandshakeTimeoutCall", "outbox", "path", "server", "socket_opened", "state",
    "transport", "utf8validator", "websocket_protocol_in_use", "websocket_version",
)  # fmt: skip


class _Nobody:
    """Whom Autobahn tells of a socket's beginning and end: nobody waits for that."""

    def callback(self, result: object) -> None:
        """This will do nothing."""


class Beginning(WebSocketProtocol):  # type: ignore[misc]
    """A WebSocket until it is open."""

    __slots__ = _OF_THE_HANDSHAKE + _TO_THE_END

    # What Autobahn's __init__ and _connectionMade lay into each socket.
    is_closed = is_open = _Nobody()
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
        """This will lay out nothing: Autobahn's two futures and its events are for those who subscribe to them."""

    def connectionMade(self) -> None:
        """This will begin; TCP_NODELAY is on since the HTTP channel had the connection."""
        self.state = self.STATE_CONNECTING
        self.data = b""
        self.utf8validator = Utf8Validator()  # type: ignore[no-untyped-call]
        self.openHandshakeTimeoutCall = None
        if self.openHandshakeTimeout > 0:
            timer = self.factory._batched_timer  # noqa: SLF001
            self.openHandshakeTimeoutCall = timer.call_later(self.openHandshakeTimeout, self.onOpenHandshakeTimeout)
        self.factory.countConnections += 1

    def dataReceived(self, data: bytes) -> None:
        """This will take what came."""
        self._dataReceived(data)

    def _onOpen(self) -> None:
        for name in _OF_THE_HANDSHAKE:
            if hasattr(self, name):
                delattr(self, name)
