"""Asking two servers at once, many times together, over connections that stay: no client may be the slow part."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Answer:
    """What a server said, and how long it took."""

    status: int
    headers: Mapping[str, str]
    seconds: float

    @property
    def quota(self) -> int:
        """The limit of the policy that is named first."""
        return int(self.headers["ratelimit-policy"].partition("q=")[2].partition(";")[0])


class Connection:
    """One connection that asks one thing after the other."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    def close(self) -> None:
        self._writer.close()

    async def ask(self, path: str, *, address: str, body: bytes | None = None, **headers: str) -> Answer:
        """This will ask as the proxy would for somebody at an address."""
        began = time.perf_counter()
        fields = {"Host": "127.0.0.1", "X-Forwarded-For": address} | headers
        if body is not None:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        await self._body(found)
        return Answer(int(head[0].split()[1]), found, time.perf_counter() - began)

    async def _body(self, headers: Mapping[str, str]) -> None:
        if headers.get("transfer-encoding") == "chunked":
            while (size := int(await self._reader.readline(), 16)) > 0:
                await self._reader.readexactly(size + 2)
            await self._reader.readline()
        else:
            await self._reader.readexactly(int(headers.get("content-length", "0")))


class Clients:
    """Connections, half of them to each server."""

    def __init__(self, ports: Sequence[int], number: int) -> None:
        self.connections = [Connection(ports[each % len(ports)]) for each in range(number)]

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(each.open() for each in self.connections))
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.connections:
            each.close()

    async def together(self, path: str, *, address: str, **headers: str) -> list[Answer]:
        """This will ask the same over every connection at once."""
        return await asyncio.gather(*(each.ask(path, address=address, **headers) for each in self.connections))
