"""Fixtures of the hub's tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from realtime.hub.room_hub import RoomHub
from shipments.selectors import async_pool


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[RoomHub]:
    """Yield a hub of the running loop and stop it at the end."""
    hub = RoomHub()
    yield hub
    await hub.stop()
    await async_pool.close_pools()
