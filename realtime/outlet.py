"""A socket's way out: prepared frames, in order, without waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from realtime import metrics

# What a socket that cannot be written at once may have waiting, where the server offers no direct way.
_WAITING_FRAMES: Final = 1000

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Line(Protocol):
    """The server's direct way for frames, its extension `freight.frames`; only `free` waits."""

    def write(self, frame: bytes, /) -> None: ...
    async def free(self) -> None:
        """This will wait until what was written is on its way."""

    def spread(self, frames: Sequence[bytes], lines: Sequence[Any], /) -> None:
        """This will write the same frames to many lines, of which this is one."""


class Recipient(Protocol):
    """Whom frames can be given to one by one."""

    def deliver(self, frame: bytes) -> None: ...


class Outlet:
    """The server's direct way, else a queue and a task of its own."""

    __slots__ = ("_draining", "_send", "_waiting", "line")

    def __init__(self, scope: Mapping[str, Any], send: Send) -> None:
        self.line: Line | None = (scope.get("extensions") or {}).get("freight.frames")
        self._send = send
        self._draining: asyncio.Task[None] | None = None
        if self.line is None:
            self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_FRAMES)
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    def put(self, frame: bytes) -> bool:
        """This will send a frame, and say whether there was room for it."""
        if self.line is not None:
            self.line.write(frame)
            return True
        try:
            self._waiting.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True

    async def free(self) -> None:
        """This will wait until what was put is on its way; where the server cannot tell, it does not wait."""
        if self.line is not None:
            await self.line.free()

    def end(self) -> None:
        """This will drop what still waits."""
        if self._draining is not None:
            self._draining.cancel()

    async def _drain(self) -> None:
        while True:
            frame = await self._waiting.get()
            await self._send({"type": "websocket.send", "text": frame.decode()})


def spread(frames: Sequence[bytes], recipients: Mapping[Any, Line | None]) -> None:
    """This will give frames to many recipients: together to those that have a line, else one by one."""
    lines = [line for line in recipients.values() if line is not None]
    if lines:
        for frame in frames:
            metrics.sent(frame, len(lines))
        lines[0].spread(frames, lines)
    if len(lines) < len(recipients):
        for recipient in [each for each, line in recipients.items() if line is None]:
            for frame in frames:
                recipient.deliver(frame)
