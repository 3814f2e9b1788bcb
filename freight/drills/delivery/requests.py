"""A small HTTP/1.1 client for a drill: one connection, and honest about what it does not know."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

TIMEOUT_SECONDS: Final = 15.0
_MOST_HEADER_BYTES: Final = 64 * 1024


class NotSent(Exception):
    """The request did not leave: nothing can have come of it."""


class NoAnswer(Exception):
    """The request left and no whole answer came back: who knows what came of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and how many seconds that took."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """This will return the body's value, None where it is no JSON."""
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(self.body)
        return None


class Caller:
    """One keep-alive connection to a port of this machine or to a unix socket, opened anew after a failure."""

    def __init__(self, address: int | Path, key: str = "") -> None:
        self._address, self._key = address, key
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(
        self, method: str, path: str, body: Any = None, *, seconds: float = TIMEOUT_SECONDS, **headers: str
    ) -> Answer:
        """This will make one request; raises NotSent, NoAnswer. A header's `_` stands for `-`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await self._connection()
        except (OSError, TimeoutError) as error:
            raise NotSent(repr(error)) from error
        try:
            async with asyncio.timeout(seconds):
                writer.write(self._encoded(method, path, body, headers))
                await writer.drain()
                status, found, content = await _answer(reader)
        except (OSError, TimeoutError, EOFError, ValueError, IndexError) as error:
            self.drop()
            raise NoAnswer(repr(error)) from error
        except BaseException:
            self.drop()
            raise
        if found.get("connection", "").lower() == "close":
            await self.close()
        return Answer(status, found, content, time.monotonic() - began)

    async def close(self) -> None:
        """This will end the connection."""
        if self._pair is not None:
            writer, self._pair = self._pair[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def drop(self) -> None:
        """This will end the connection at once."""
        if self._pair is not None:
            self._pair[1].transport.abort()
            self._pair = None

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._pair is not None and (self._pair[0].at_eof() or self._pair[1].is_closing()):
            await self.close()
        if self._pair is None:
            if isinstance(self._address, Path):
                self._pair = await asyncio.open_unix_connection(str(self._address), limit=_MOST_HEADER_BYTES)
            else:
                self._pair = await asyncio.open_connection("127.0.0.1", self._address, limit=_MOST_HEADER_BYTES)
        return self._pair

    def _encoded(self, method: str, path: str, body: Any, headers: dict[str, str]) -> bytes:
        content = b"" if body is None else orjson.dumps(body)
        given = {"Host": "127.0.0.1", "Content-Length": str(len(content))}
        if self._key:
            given["Authorization"] = f"Bearer {self._key}"
        if content:
            given["Content-Type"] = "application/json"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        return "\r\n".join([*lines, "", ""]).encode() + content


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return status, headers, await _chunks(reader)
    return status, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        body += (await reader.readexactly(size + 2))[:size]
        if not size:
            return body
