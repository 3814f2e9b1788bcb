"""A small HTTP/1.1 client for a drill: one connection, and a request not sent differs from a lost response."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

TIMEOUT_SECONDS: Final = 15.0
_MAX_HEADER_BYTES: Final = 64 * 1024


class NotSent(Exception):
    """The request was not sent: it has had no effect."""


class NoResponse(Exception):
    """The request was sent and no whole response came back: its effect is unknown."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response, and the seconds from the request to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Return the body's value, None where it is no JSON."""
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(self.body)
        return None


class HttpClient:
    """One keep-alive connection to a port of this machine or to a unix socket, opened anew after a failure."""

    def __init__(self, address: int | Path, key: str = "") -> None:
        self._address, self._key = address, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, body: Any = None, *, seconds: float = TIMEOUT_SECONDS, **headers: str
    ) -> Response:
        """Make one request; raises NotSent or NoResponse. A `_` in a header's name stands for `-`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise NotSent(repr(error)) from error
        try:
            async with asyncio.timeout(seconds):
                writer.write(self._encode_request(method, path, body, headers))
                await writer.drain()
                status, response_headers, content = await _read_response(reader)
        except (OSError, TimeoutError, EOFError, ValueError, IndexError) as error:
            self.abort()
            raise NoResponse(repr(error)) from error
        except BaseException:
            self.abort()
            raise
        if response_headers.get("connection", "").lower() == "close":
            await self.close()
        return Response(status, response_headers, content, time.monotonic() - began)

    async def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def abort(self) -> None:
        """End the connection at once."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and (self._streams[0].at_eof() or self._streams[1].is_closing()):
            await self.close()
        if self._streams is None:
            if isinstance(self._address, Path):
                self._streams = await asyncio.open_unix_connection(str(self._address), limit=_MAX_HEADER_BYTES)
            else:
                self._streams = await asyncio.open_connection("127.0.0.1", self._address, limit=_MAX_HEADER_BYTES)
        return self._streams

    def _encode_request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> bytes:
        content = b"" if body is None else orjson.dumps(body)
        all_headers = {"Host": "127.0.0.1", "Content-Length": str(len(content))}
        if self._key:
            all_headers["Authorization"] = f"Bearer {self._key}"
        if content:
            all_headers["Content-Type"] = "application/json"
        all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in all_headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + content


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return status, headers, await _read_chunks(reader)
    return status, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        body += (await reader.readexactly(size + 2))[:size]
        if not size:
            return body
