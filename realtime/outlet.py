"""A socket's way out: prepared frames, in order, without waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

# What a socket that cannot be written at once may have waiting, where the server offers no direct way.
_WAITING_FRAMES: Final = 1000

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Outlet:
    """The server's direct way for frames, else a queue and a task of its own."""

    __slots__ = ("_draining", "_free", "_send", "_waiting", "_write")

    def __init__(self, scope: Mapping[str, Any], send: Send) -> None:
        extension = (scope.get("extensions") or {}).get("freight.frames")
        self._write: Callable[[bytes], None] | None = extension["write"] if extension else None
        self._free: Callable[[], Awaitable[None]] | None = extension["free"] if extension else None
        self._send = send
        self._draining: asyncio.Task[None] | None = None
        if self._write is None:
            self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_FRAMES)
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    def put(self, frame: bytes) -> bool:
        """This will send a frame, and say whether there was room for it."""
        if self._write is not None:
            self._write(frame)
            return True
        try:
            self._waiting.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True

    async def free(self) -> None:
        """This will wait until what was put is on its way; where the server cannot tell, it does not wait."""
        if self._free is not None:
            await self._free()

    def end(self) -> None:
        """This will drop what still waits."""
        if self._draining is not None:
            self._draining.cancel()

    async def _drain(self) -> None:
        while True:
            frame = await self._waiting.get()
            await self._send({"type": "websocket.send", "text": frame.decode()})
