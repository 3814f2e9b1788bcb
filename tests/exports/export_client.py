"""Download exports through Django's ASGI handler, as a client of the API."""

import asyncio
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.test import AsyncClient

from shipments.auth.subjects import Subject
from shipments.selectors import async_pool
from shipments.services.accounts import api_keys

PATH = "/api/exports/shipments.csv"


@dataclass
class File:
    """The response to a request for a file."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def rows(self) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.body.decode(), newline="")))

    def column(self, label: str) -> list[str]:
        """Return the cells below a label."""
        index = self.rows[0].index(label)
        return [row[index] for row in self.rows[1:]]


def token(subject: Subject, *, scopes: tuple[str, ...] = ("exports:read",)) -> str:
    """Return an API key of the subject's user."""
    _, secret = api_keys.create(by=subject, now=datetime.now(UTC), name="files", scopes=list(scopes))
    return secret


def fetch_file(
    subject: Subject | None,
    query: dict[str, Any] | None = None,
    *,
    path: str = PATH,
    headers: Mapping[str, str] | None = None,
) -> File:
    """Download a file as the subject, in an event loop of its own."""
    request_headers = dict(headers or {})
    if subject is not None:
        scope = "exports:read" if subject.has_permission("exports:read") else "shipments:read"
        request_headers["Authorization"] = f"Bearer {token(subject, scopes=(scope,))}"
    return asyncio.run(_fetch(path, query or {}, request_headers))


async def read_body(response: Any) -> bytes:
    """Return the content of a response of the test client, streaming or not."""
    if not response.streaming:
        return bytes(response.content)
    return b"".join([part async for part in response])


def read_whole(response: Any) -> bytes:
    """Return the content of a response that was made outside of an event loop, and end what it was read with."""

    async def read() -> bytes:
        try:
            return await read_body(response)
        finally:
            await async_pool.close_pools()

    return asyncio.run(read())


async def _fetch(path: str, query: dict[str, Any], headers: dict[str, str]) -> File:
    try:
        response = await AsyncClient().get(path, query, headers=headers)
        return File(response.status_code, dict(response.items()), await read_body(response))
    finally:
        await async_pool.close_pools()
