"""Clients for bursts at two servers over open connections, cheap enough not to be the slow part."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Answer:
    """A response and its duration."""

    status: int
    headers: Mapping[str, str]
    seconds: float

    @property
    def quota(self) -> int:
        """The quota of the first policy."""
        return int(self.headers["ratelimit-policy"].partition("q=")[2].partition(";")[0])


class Connection:
    """One connection for consecutive requests."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    def close(self) -> None:
        self._writer.close()

    async def request(
        self, path: str, *, address: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request as the proxy does for a client at an address."""
        started = time.perf_counter()
        fields = {"Host": "127.0.0.1", "X-Forwarded-For": address}
        if body is not None:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= headers or {}
        lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        response_headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])
        }
        await self._body(response_headers)
        return Answer(int(head[0].split()[1]), response_headers, time.perf_counter() - started)

    async def _body(self, headers: Mapping[str, str]) -> None:
        if headers.get("transfer-encoding") == "chunked":
            while (size := int(await self._reader.readline(), 16)) > 0:
                await self._reader.readexactly(size + 2)
            await self._reader.readline()
        else:
            await self._reader.readexactly(int(headers.get("content-length", "0")))


@dataclass(frozen=True)
class SocketResult:
    """The close code of a socket (0: open), its frames until then, and the seconds since the handshake started."""

    code: int
    frames: list[bytes]
    seconds: float


async def open_socket(
    port: int, *, address: str, token: str, messages: Sequence[bytes] = (), frame_count: int = 1
) -> SocketResult:
    """Open a socket, send all messages after the welcome, and read `frame_count` frames or until the close.

    A client of the `websockets` package costs more than the server.
    """
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = {
        "Host": "127.0.0.1", "X-Forwarded-For": address, "Authorization": f"Bearer {token}", "Upgrade": "websocket",
        "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "freight.v1",
    }  # fmt: skip
    try:
        lines = ["GET /ws/ HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            return SocketResult(int(head.split()[1]), [], time.perf_counter() - started)
        code = 0
        frames: list[bytes] = []
        while not code and len(frames) < frame_count:
            code, frame = await _frame(reader)
            frames += [frame] if frame else []
            if frame and len(frames) == 1:
                writer.write(b"".join(_masked(each) for each in messages))
        return SocketResult(code, frames, time.perf_counter() - started)
    finally:
        writer.transport.abort()


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a frame and return `(close code, b"")` or `(0, text)`."""
    kind, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    body = await reader.readexactly(length)
    return (int.from_bytes(body[:2]), b"") if kind & 15 == 8 else (0, body)


def _masked(text: bytes) -> bytes:
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text  # a mask of zeros changes nothing


class ClientPool:
    """Open connections, half of them to each server."""

    def __init__(self, ports: Sequence[int], number: int) -> None:
        self.connections = [Connection(ports[each % len(ports)]) for each in range(number)]

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(each.open() for each in self.connections))
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.connections:
            each.close()

    async def request_all(
        self, path: str, *, address: str, headers: Mapping[str, str] | None = None
    ) -> list[Answer]:
        """Send one request over every connection at once."""
        return await asyncio.gather(
            *(each.request(path, address=address, headers=headers) for each in self.connections)
        )
