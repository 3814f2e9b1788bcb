"""Readings of reports: one snapshot each, and no connection that stays out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection

from shipments.access import Subject
from shipments.selectors import cells, live, rows
from tests import factories

pytestmark = pytest.mark.usefixtures("committed")
CELLS = [cells.text("reference")]


@pytest.fixture
def dispatcher(committed: None) -> Subject:
    return factories.member(factories.organization(), "dispatcher")


def run(use: Callable[[], Awaitable[Any]]) -> Any:
    """This will run a use of the readings in an event loop of its own."""

    async def used() -> Any:
        try:
            return await use()
        finally:
            await live.close()

    return asyncio.run(used())


def test_what_is_booked_meanwhile_is_neither_counted_nor_read(dispatcher: Subject) -> None:
    first = factories.booked(dispatcher)

    def book() -> None:
        factories.booked(dispatcher)
        connection.close()

    async def read() -> tuple[int, bytes]:
        reading = await rows.shipments(dispatcher, rows.Narrowing(), CELLS)
        await sync_to_async(book, thread_sensitive=False)()
        return reading.count, b"".join([block async for block in reading.blocks()])

    assert run(read) == (1, f"{first.reference}\n".encode())


def test_a_reading_that_nobody_reads_gives_its_connection_back(
    dispatcher: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_UNREAD_SECONDS", 0.01)
    factories.booked(dispatcher)

    async def leave() -> tuple[int, int]:
        await rows.shipments(dispatcher, rows.Narrowing(), CELLS)
        await asyncio.sleep(0.1)
        stats = (await live.pool("export")).get_stats()
        return stats["pool_size"], stats["pool_available"]

    assert run(leave) == (1, 1)


def test_more_readings_than_connections_are_refused_as_unavailable(
    dispatcher: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_TIMEOUT_SECONDS", 0.2)
    factories.booked(dispatcher)

    async def crowd() -> None:
        readings = []
        try:
            for _ in range(100):
                readings.append(await rows.shipments(dispatcher, rows.Narrowing(), CELLS))  # noqa: PERF401
        finally:
            for reading in readings:
                await reading.aclose()

    with pytest.raises(OperationalError):
        run(crowd)
