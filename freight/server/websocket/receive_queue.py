"""What a server has for one application and has not been taken yet: a queue of a tenth of asyncio's weight."""

import asyncio
from typing import Any, Final

_LOW_WATER_MARK: Final = 4


class ReceiveQueue:
    """The events for one application; says when few are left."""

    __slots__ = ("_arrival", "_events", "on_low_water")

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._arrival: asyncio.Future[None] | None = None
        self.on_low_water: Any = None

    def put_nowait(self, event: dict[str, Any]) -> None:
        """Add an event and wake who waits for one."""
        self._events.append(event)
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def qsize(self) -> int:
        """Return how many events have not been taken."""
        return len(self._events)

    async def get(self) -> dict[str, Any]:
        """Wait for the next event and take it; an event is never lost with who was to take it."""
        while not self._events:
            if self._arrival is not None:
                await asyncio.wait([self._arrival])  # somebody else waits too
                continue
            self._arrival = asyncio.get_running_loop().create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        event = self._events.pop(0)
        if self.on_low_water is not None and len(self._events) <= _LOW_WATER_MARK:
            asyncio.get_running_loop().call_soon(self.on_low_water)
            self.on_low_water = None
        return event
