"""Fixtures of the hub's tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from realtime.hub.room_hub import RoomHub
from shipments.selectors import async_reads


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[RoomHub]:
    """A hub of the running loop, stopped at the end."""
    hub = RoomHub()
    yield hub
    await hub.stop()
    await async_reads.close_pools()
