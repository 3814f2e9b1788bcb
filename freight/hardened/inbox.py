"""What a server has for one application and has not been taken yet: a queue of a tenth of asyncio's weight."""

import asyncio
from typing import Any, Final

_FEW_MESSAGES: Final = 4


class Inbox:
    """The events for one application; says when few are left."""

    __slots__ = ("_come", "_events", "on_few")

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._come: asyncio.Future[None] | None = None
        self.on_few: Any = None

    def put_nowait(self, event: dict[str, Any]) -> None:
        """This will add an event and wake who waits for one."""
        self._events.append(event)
        if self._come is not None and not self._come.done():
            self._come.set_result(None)

    def qsize(self) -> int:
        """This will return how many events have not been taken."""
        return len(self._events)

    async def get(self) -> dict[str, Any]:
        """This will wait for the next event and take it; an event is never lost with who was to take it."""
        while not self._events:
            if self._come is not None:
                await asyncio.wait([self._come])  # somebody else waits too
                continue
            self._come = asyncio.get_running_loop().create_future()
            try:
                await self._come
            finally:
                self._come = None
        event = self._events.pop(0)
        if self.on_few is not None and len(self._events) <= _FEW_MESSAGES:
            asyncio.get_running_loop().call_soon(self.on_few)
            self.on_few = None
        return event
