"""The send path of one socket: the server's direct sender where it offers one, else a queue and a task."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from realtime.hub.delivery import DirectSender

# Frames that may wait for a socket on a server without a direct sender.
_MAX_QUEUED_FRAMES: Final = 1000

Send = Callable[[dict[str, Any]], Awaitable[None]]


class FrameSender:
    """Sends encoded frames in order and without waiting.

    Freight's own server offers a DirectSender as the ASGI extension `freight.frames`. On any other ASGI server
    frames go through a bounded queue to the plain `send`. `allow_frame` is given to the direct sender's `on_frame`.
    """

    __slots__ = ("_queue", "_send", "_send_task", "direct_sender")

    def __init__(self, scope: Mapping[str, Any], send: Send, allow_frame: Callable[[], bool]) -> None:
        self.direct_sender: DirectSender | None = (scope.get("extensions") or {}).get("freight.frames")
        self._send = send
        self._send_task: asyncio.Task[None] | None = None
        if self.direct_sender is None:
            self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MAX_QUEUED_FRAMES)
            self._send_task = asyncio.get_running_loop().create_task(self._send_queued())
        else:
            self.direct_sender.on_frame(allow_frame)

    def send(self, frame: bytes) -> bool:
        """Send a frame and return True, or False where the queue is full."""
        if self.direct_sender is not None:
            self.direct_sender.write(frame)
            return True
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True

    async def drain(self) -> None:
        """Wait until the send buffer is empty; return at once on a server that has no direct sender."""
        if self.direct_sender is not None:
            await self.direct_sender.drain()

    def close(self) -> None:
        """Drop queued frames."""
        if self._send_task is not None:
            self._send_task.cancel()

    async def _send_queued(self) -> None:
        while True:
            frame = await self._queue.get()
            await self._send({"type": "websocket.send", "text": frame.decode()})
