"""A socket's way out: prepared frames, in order, without waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from realtime import metrics

# What a socket that cannot be written at once may have waiting, where the server offers no direct way.
_MAX_QUEUED_FRAMES: Final = 1000

Send = Callable[[dict[str, Any]], Awaitable[None]]


class DirectSender(Protocol):
    """The server's direct way for frames, its extension `freight.frames`; only `free` waits."""

    def write(self, frame: bytes, /) -> None: ...
    async def drain(self) -> None:
        """Wait until what was written is on its way."""

    def broadcast(self, frames: Sequence[bytes], senders: Sequence[Any], /) -> None:
        """Write the same frames to many lines, of which this is one."""


class Recipient(Protocol):
    """Whom frames can be given to one by one."""

    def deliver(self, frame: bytes) -> None: ...


class FrameSender:
    """The server's direct way, else a queue and a task of its own."""

    __slots__ = ("_queue", "_send", "_send_task", "direct_sender")

    def __init__(self, scope: Mapping[str, Any], send: Send) -> None:
        self.direct_sender: DirectSender | None = (scope.get("extensions") or {}).get("freight.frames")
        self._send = send
        self._send_task: asyncio.Task[None] | None = None
        if self.direct_sender is None:
            self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MAX_QUEUED_FRAMES)
            self._send_task = asyncio.get_running_loop().create_task(self._send_queued())

    def send(self, frame: bytes) -> bool:
        """Send a frame, and say whether there was room for it."""
        if self.direct_sender is not None:
            self.direct_sender.write(frame)
            return True
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True

    async def drain(self) -> None:
        """Wait until what was put is on its way; where the server cannot tell, it does not wait."""
        if self.direct_sender is not None:
            await self.direct_sender.drain()

    def close(self) -> None:
        """Drop what still waits."""
        if self._send_task is not None:
            self._send_task.cancel()

    async def _send_queued(self) -> None:
        while True:
            frame = await self._queue.get()
            await self._send({"type": "websocket.send", "text": frame.decode()})


def broadcast(frames: Sequence[bytes], recipients: Mapping[Any, DirectSender | None]) -> None:
    """Give frames to many recipients: together to those that have a line, else one by one."""
    senders = [line for line in recipients.values() if line is not None]
    if senders:
        for frame in frames:
            metrics.count_sent(frame, len(senders))
        senders[0].broadcast(frames, senders)
    if len(senders) < len(recipients):
        for recipient in [each for each, line in recipients.items() if line is None]:
            for frame in frames:
                recipient.deliver(frame)
