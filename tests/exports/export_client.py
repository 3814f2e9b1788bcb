"""Download exports through Django's ASGI handler, as a client of the API."""

import asyncio
import csv
import io
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
    subject: Subject | None, query: dict[str, Any] | None = None, *, path: str = PATH, **headers: str
) -> File:
    """Download a file as the subject, in an event loop of its own."""
    if subject is not None:
        scope = "exports:read" if subject.has_permission("exports:read") else "shipments:read"
        headers["Authorization"] = f"Bearer {token(subject, scopes=(scope,))}"
    return asyncio.run(_fetch(path, query or {}, headers))


async def _fetch(path: str, query: dict[str, Any], headers: dict[str, str]) -> File:
    try:
        response = await AsyncClient().get(path, query, headers=headers)
        body = b"".join([part async for part in response]) if response.streaming else response.content
        return File(response.status_code, dict(response.items()), body)
    finally:
        await async_pool.close_pools()
