"""A small WebSocket client (RFC 6455) for a drill: thousands in one loop, cut, paused and reset at will."""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

_CONTINUATION, _TEXT, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x8, 0x9, 0xA
ABNORMAL: Final = 1006
# Of thousands at once, a handshake that is given up has cost the server as much as one that is waited for.
_OPEN_SECONDS: Final = 30.0


TextHandler = Callable[["WebSocketClient", bytes], None]


class HandshakeRefused(Exception):
    """The handshake was answered with something else than 101; `status` is 0 where nothing came."""

    def __init__(self, status: int) -> None:
        super().__init__(f"handshake answered with {status}")
        self.status = status


class WebSocketClient(asyncio.Protocol):
    """One open socket.

    `on_text` takes the socket and the bytes of each text frame; `closed` resolves to the close code.
    """

    def __init__(self, on_text: TextHandler, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        # The opener may have stopped waiting: its exception counts as retrieved.
        self.opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())
        self.closed: asyncio.Future[int] = loop.create_future()
        self.received = 0  # bytes
        self._on_text, self._request = on_text, request
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._close_code = ABNORMAL
        self._transport: asyncio.Transport | None = None

    # -- what the loop calls ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take the answer to the handshake, then every whole frame."""
        self.received += len(data)
        self._buffer += data
        if not self.opened.done() and not self._parse_handshake():
            return
        while self._parse_frame():
            pass

    def connection_lost(self, _: Exception | None) -> None:
        """Resolve `closed` with the code that the server gave, or 1006."""
        if not self.opened.done():
            self.opened.set_exception(HandshakeRefused(0))
        if not self.closed.done():
            self.closed.set_result(self._close_code)

    # -- what a drill does --------------------------------------------------------------------------------

    def send_json(self, **frame: Any) -> None:
        """Send one frame."""
        self._send(_TEXT, orjson.dumps(frame))

    @property
    def descriptor(self) -> int:
        """The file descriptor, -1 where there is none."""
        raw = self._transport.get_extra_info("socket") if self._transport is not None else None
        return -1 if raw is None else int(raw.fileno())

    def pause_reading(self) -> None:
        """Stop reading: the slowest client that there can be."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0 and raw.family != socket.AF_UNIX:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def close(self) -> None:
        """Send a close frame; the server closes the connection."""
        self._close_code = 1000
        self._send(_CLOSE, struct.pack("!H", 1000))

    async def close_or_abort(self) -> None:
        """Close in an orderly way, and reset the connection where the server does not answer within a second."""
        if not self.closed.done():
            self.close()
            await asyncio.wait([self.closed], timeout=1)
        if not self.closed.done():
            self.abort()
            await self.closed

    # -- frames -------------------------------------------------------------------------------------------

    def _parse_handshake(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = int(bytes(self._buffer[:end]).split(b" ", 2)[1])
        del self._buffer[: end + 4]
        if status != 101:
            self.opened.set_exception(HandshakeRefused(status))
            self.abort()
            return False
        self.opened.set_result(None)
        return True

    def _parse_frame(self) -> bool:
        """Take one frame from the buffer, and return whether a whole one was there."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        final, opcode, length, start = buffer[0] & 0x80, buffer[0] & 0x0F, buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return False
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return False
        payload = bytes(buffer[start : start + length])
        del buffer[: start + length]
        self._handle_frame(opcode, payload, final=bool(final))
        return True

    def _handle_frame(self, opcode: int, payload: bytes, *, final: bool) -> None:
        if opcode in {_TEXT, _CONTINUATION}:
            self._fragments += payload
            if final:
                text, self._fragments = bytes(self._fragments), bytearray()
                self._on_text(self, text)
        elif opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _CLOSE:
            self._close_code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
            self._send(_CLOSE, payload[:2])
            if self._transport is not None:
                self._transport.close()

    def _send(self, opcode: int, payload: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        mask = os.urandom(4)
        length = len(payload)
        head = bytes([0x80 | opcode])
        head += bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length)
        masked = bytes(byte ^ mask[place & 3] for place, byte in enumerate(payload))
        self._transport.write(head + mask + masked)


async def connect(address: int | Path, key: str, on_text: TextHandler) -> WebSocketClient:
    """Open an authenticated socket; raises HandshakeRefused, OSError or TimeoutError.

    `address`: a port of this machine, or a unix socket.
    """
    nonce = base64.b64encode(os.urandom(16)).decode()
    request = (
        "GET /ws/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: freight.v1\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_OPEN_SECONDS):
        if isinstance(address, Path):
            _, client = await loop.create_unix_connection(lambda: WebSocketClient(on_text, request), str(address))
        else:
            _, client = await loop.create_connection(
                lambda: WebSocketClient(on_text, request), "127.0.0.1", address
            )
        try:
            await asyncio.shield(client.opened)
        except BaseException:
            client.abort()
            raise
    return client
