"""A WebSocket: Daphne's, with limits in both directions and close codes that reach the client."""

# ruff: noqa: FBT001, FBT002, N802, N803  names and signatures of Autobahn and Twisted

import socket
from contextlib import suppress
from typing import Any, Final

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from freight.server.websocket import framing
from freight.server.websocket.handshake import HandshakeProtocol
from freight.server.websocket.send_buffer import FlushScheduler, SendBuffer

SLOW_CONSUMER: Final = 4431
# What the kernel may keep for one socket; asked for twice over, as Linux counts its own overhead.
_SEND_BUFFER_BYTES: Final = 128 * 1024
# Messages that the application has not taken yet: from here on the client is not read from, until few are left.
_HIGH_WATER_MARK: Final = 32
# Fragments of one message; empty ones cost their sender nothing.
_MAX_FRAGMENTS: Final = 1024
_MESSAGE_TOO_BIG: Final = 1009


class SocketProtocol(HandshakeProtocol):
    """One WebSocket. Everything that it sends once it is open goes through its outbox, in order."""

    CONFIG_ATTRS = ()  # see SocketFactory.share_options
    is_slow = False
    _ignores_input = False
    _paused = False
    _fragments = 0

    def makeConnection(self, transport: Any) -> None:
        """Take the connection over from the HTTP request that asked for the upgrade."""
        super().makeConnection(transport)
        with suppress(OSError):
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        transport.unregisterProducer()  # the HTTP channel; nothing of it is needed any more
        self.send_buffer = SendBuffer(self, transport, self.factory.flush_scheduler)
        transport.registerProducer(self.send_buffer, True)

    # -- outwards -------------------------------------------------------------------------------------------

    def serverSend(self, content: Any, binary: bool = False) -> None:
        """Send a message of the application; one for a socket that closes goes nowhere."""
        if self.state == self.STATE_OPEN:
            payload = content if binary else content.encode()
            self.send_buffer.put(framing.encode_frame(payload, binary=binary))

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Send what Autobahn has framed: control frames; and the answer to an opening that is refused."""
        if self.state in {self.STATE_OPEN, self.STATE_CLOSING} and not sync and not chopsize:
            self.send_buffer.put(data)
        else:
            super().sendData(data, sync, chopsize)

    def close_slow(self) -> None:
        """End a socket that does not take what it is sent: a close frame, and a second for it."""
        self.send_buffer.clear()
        if not self.is_slow:
            self.is_slow = True
            self.sendClose(code=SLOW_CONSUMER, reason="The client reads too slowly.")

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Do as the application says; Daphne itself forgets the reason of a close."""
        if message.get("type") == "websocket.close" and self.state == self.STATE_OPEN:
            self.sendClose(code=message.get("code") or 1000, reason=message.get("reason") or None)
        else:
            super().handle_reply(message)

    def sendCloseFrame(self, *args: Any, **kwargs: Any) -> None:
        """Begin the closing handshake, and read on for the client's part of it."""
        super().sendCloseFrame(*args, **kwargs)
        self._resume_reading()

    def _closeConnection(self, abort: bool = False) -> None:
        if not abort:
            self.send_buffer.flush_to_transport()
        super()._closeConnection(abort)

    # -- inwards --------------------------------------------------------------------------------------------

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Hand a message to the application, and stop reading while it has many to take."""
        if self.state != self.STATE_OPEN:
            return  # after our close frame nothing counts but the client's
        super().onMessage(payload, isBinary)
        queue = self.application_queue
        if queue.qsize() >= _HIGH_WATER_MARK and not self._paused:
            self._paused = True
            queue.on_low_water = self._resume_reading
            self.transport.pauseProducing()

    def processData(self) -> bool:
        """Take the next piece of what has been read, unless the application is behind."""
        return not self._paused and not self._ignores_input and bool(super().processData())

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self.consumeData()
            if not self._paused and self.transport.connected:
                self.transport.resumeProducing()

    def _dataReceived(self, data: bytes) -> None:
        if not self._ignores_input:
            super()._dataReceived(data)

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin to count a message's fragments."""
        super().onMessageBegin(isBinary)
        self._fragments = 0

    def onMessageFrameBegin(self, length: int) -> None:
        """Refuse a message of endless fragments, as its size is refused."""
        super().onMessageFrameBegin(length)
        self._fragments += 1
        if self._fragments > _MAX_FRAGMENTS and not self.failedByMe:
            self._fail_connection(_MESSAGE_TOO_BIG, "The message has too many fragments.")

    def _fail_connection(self, code: int = _MESSAGE_TOO_BIG, reason: str = "") -> None:
        """Say by a close frame what was wrong, where Autobahn just drops the connection.

        What follows on the line cannot be understood; the connection ends with the client or in a second.
        """
        if self.state != self.STATE_OPEN:
            super()._fail_connection(code, reason)
            return
        self.failedByMe = True
        self._ignores_input = True
        self.data = b""
        self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:120], isReply=False)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Tell the application, and why where we cut the socket."""
        if hasattr(self, "server"):
            self.server.protocol_disconnected(self)
        if hasattr(self, "application_queue"):
            self.application_queue.put_nowait(
                {"type": "websocket.disconnect", "code": SLOW_CONSUMER if self.is_slow else code}
            )

    def connectionLost(self, reason: Any = None) -> None:
        """End, and let go of what would keep the socket in memory until the next whole collection."""
        super().connectionLost(reason)
        if hasattr(self, "send_buffer"):
            self.send_buffer.detach()


class SocketFactory(WebSocketFactory):  # type: ignore[misc]
    """Makes sockets; holds what all of them share."""

    protocol = SocketProtocol

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.flush_scheduler = FlushScheduler()

    def share_options(self) -> None:
        """Put the options where every socket finds them.

        Autobahn would copy thirty of them into each, and print them into a string that nobody logs: a third
        of the time of a handshake.
        """
        for name in WebSocketProtocol.CONFIG_ATTRS:
            value = getattr(self, name)
            setattr(SocketProtocol, name, staticmethod(value) if callable(value) else value)
