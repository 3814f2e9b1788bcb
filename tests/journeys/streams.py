"""A client of event streams, which sees what a browser's EventSource would."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

from tests.drills.harness.process import ProductProcess

SECONDS: Final = 20


@dataclass(frozen=True)
class StreamEvent:
    """An event as a browser's EventSource would see it."""

    name: str
    id: str
    payload: dict[str, Any]

    @property
    def seq(self) -> int:
        return int(self.id.rpartition(":")[2])


class EventStream:
    """A client of one stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = self._read()

    async def _read(self) -> AsyncIterator[StreamEvent]:
        fields: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                yield StreamEvent(fields["event"], fields.get("id", ""), orjson.loads(fields["data"]))
                fields = {}

    async def next(self) -> StreamEvent:
        async with asyncio.timeout(SECONDS):
            return await anext(self._events)

    async def rest(self) -> list[StreamEvent]:
        """Return the remaining events, up to the end of the response."""
        async with asyncio.timeout(SECONDS):
            return [event async for event in self._events]


@contextlib.asynccontextmanager
async def open_stream(daphne: ProductProcess, path: str, token: str, last: str = "") -> AsyncIterator[EventStream]:
    headers = {"Authorization": token} | ({"Last-Event-ID": last} if last else {})
    async with (
        httpx.AsyncClient(base_url=f"{daphne.url}/api", timeout=SECONDS) as http,
        http.stream("GET", path, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield EventStream(response)
