"""The send buffer of a socket: whole frames, in order, with backpressure.

Frames that are put within one iteration of the event loop leave in one write at its end. While the kernel takes
no more they stay here and not in Twisted's buffer, so that they can still be dropped: a socket with more than 1 MiB
in its buffer gets a close frame and is closed.

This is the path of the fan-out, 10,000 deliveries of one event in a large room: it is written to be short.
"""

# ruff: noqa: N802, SLF001  method names of Twisted; `_broadcast` is a part of the buffers

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from websockets.protocol import CLOSED, OPEN

from freight.server import transport_buffer
from freight.server.websocket import framing
from freight.server.websocket.loop_throttle import LoopThrottle

MAX_BUFFERED_BYTES: Final = 1024 * 1024
# The size of one write, and so the most that stands before the close frame of a slow client.
_BATCH_BYTES: Final = 64 * 1024
# Sockets that are written to in one iteration of the event loop.
_SOCKETS_PER_ITERATION: Final = 500


class FlushScheduler:
    """The send buffers of a process that were written to in this iteration of its event loop.

    It also caches the last frame, since a hub writes the same payload to the members of a room in turn.
    """

    def __init__(self) -> None:
        self.last_payload = b""
        self.last_frame = framing.encode_frame(b"")
        self.pending: deque[SendBuffer] = deque()
        self.close_throttle = LoopThrottle()
        self.scheduled = False

    def schedule(self) -> None:
        """Flush the pending buffers at the end of the iteration."""
        self.scheduled = True
        asyncio.get_running_loop().call_soon(self._flush_pending)

    def _flush_pending(self) -> None:
        pending = self.pending
        for _ in range(min(len(pending), _SOCKETS_PER_ITERATION)):
            pending.popleft().flush()
        if pending:
            self.schedule()
        else:
            self.scheduled = False


class _ClosedProtocol:
    """The protocol of a buffer whose connection is lost."""

    __slots__ = ()
    state = CLOSED

    def close_slow(self) -> None:
        """Do nothing."""


_CLOSED_PROTOCOL: Final = _ClosedProtocol()


class SendBuffer:
    """The frames that wait for one socket; also the push producer that its transport resumes when it is empty.

    `write`, `drain`, `broadcast` and `on_frame` are the ASGI extension `freight.frames`.
    """

    __slots__ = (
        "_drained", "_flush_scheduled", "_frames", "_paused", "_protocol", "_scheduler", "_send", "_size",
        "_transport",
    )  # fmt: skip

    def __init__(self, protocol: Any, transport: Any, scheduler: FlushScheduler) -> None:
        self._protocol = protocol
        self._transport = transport
        self._send = transport.socket.send
        self._scheduler = scheduler
        self._frames: list[bytes] = []
        self._size = 0
        self._flush_scheduled = False
        # The transport may still have to write the end of an HTTP response.
        self._paused = transport.producerPaused = transport_buffer.buffered_bytes(transport) > 0
        self._drained: asyncio.Future[None] | None = None

    def write(self, payload: bytes) -> None:
        """Send a text message at the end of this iteration, unless the socket is closing; never wait."""
        if self._protocol.state is not OPEN:
            return
        scheduler = self._scheduler
        if payload is not scheduler.last_payload:
            scheduler.last_frame, scheduler.last_payload = framing.encode_frame(payload), payload
        self.put(scheduler.last_frame)

    @staticmethod
    def broadcast(payloads: Sequence[bytes], buffers: "Sequence[SendBuffer]") -> None:
        """Send the same text messages to many sockets: to the kernel where nothing waits, else through `put`."""
        for batch in batched(payloads):
            _broadcast(b"".join(map(framing.encode_frame, batch)), buffers)

    def on_frame(self, allow: Any) -> None:
        """Call `allow()` for each ping, pong and continuation frame received.

        Where it returns False, reading stops: the application is about to close the socket.
        """
        if self._protocol is not _CLOSED_PROTOCOL:
            self._protocol.allow_frame = allow

    def put(self, frame: bytes) -> None:
        """Send an encoded frame at the end of this iteration; never wait."""
        self._frames.append(frame)
        self._size += len(frame)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            scheduler = self._scheduler
            scheduler.pending.append(self)
            if not scheduler.scheduled:
                scheduler.schedule()
        if self._size > MAX_BUFFERED_BYTES:
            self._overflow()

    def _overflow(self) -> None:
        """Flush, and close the socket where the kernel takes too little."""
        self.flush()
        if self._size > MAX_BUFFERED_BYTES:
            self.clear()
            self._scheduler.close_throttle.add(self._protocol.close_slow)
            self.detach()  # nothing more is written but the close frame

    def flush(self) -> None:
        """Write as much as the kernel takes."""
        self._flush_scheduled = False
        if self._paused:
            return
        frames = self._frames
        while frames:
            batch = frames.pop() if len(frames) == 1 else self._next_batch()
            self._size -= len(batch)
            try:
                sent = self._send(batch)
            except OSError:
                sent = 0  # full; or broken, which the transport finds and reports
            if sent < len(batch):
                self.write_remainder(batch, sent)
                return
        if self._drained is not None:
            self._resolve_drained()

    def write_remainder(self, batch: bytes, sent: int) -> None:
        """Pass the rest of a batch to the transport, which calls `resumeProducing` when it is empty."""
        self._transport.write(batch[sent:] if sent else batch)
        self._paused = self._transport.producerPaused = True

    def finish(self) -> None:
        """Pass everything to the transport and unregister: it does not close while it has a producer."""
        self._transport.write(b"".join(self._frames))
        self._transport.unregisterProducer()
        self.stopProducing()

    def clear(self) -> None:
        """Drop the buffered frames. The transport holds whole frames only."""
        self._frames.clear()
        self._size = 0

    async def drain(self) -> None:
        """Wait until the buffer is empty, or the connection is lost."""
        if self._size:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def _next_batch(self) -> bytes:
        frames = self._frames
        if self._size <= _BATCH_BYTES:
            batch = b"".join(frames)
            frames.clear()
            return batch
        number = length = 0
        while number < len(frames) and length < _BATCH_BYTES:
            length += len(frames[number])
            number += 1
        batch = b"".join(frames[:number])
        del frames[:number]
        return batch

    def _resolve_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def detach(self) -> None:
        """Drop the reference to the protocol, which holds this buffer."""
        self._protocol = _CLOSED_PROTOCOL

    # -- what Twisted calls on a producer -------------------------------------------------------------------

    def resumeProducing(self) -> None:
        """Continue: the transport is empty."""
        self._paused = False
        self.flush()

    def pauseProducing(self) -> None:
        """Do nothing: a transport that is not empty is not written to."""

    def stopProducing(self) -> None:
        """Drop the frames of a lost connection."""
        self.clear()
        self._resolve_drained()


def batched(payloads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Split payloads into groups that are written together."""
    first = size = 0
    for number, payload in enumerate(payloads):
        if size and size + len(payload) > _BATCH_BYTES:
            yield payloads[first:number]
            first, size = number, 0
        size += len(payload)
    yield payloads[first:]


def _broadcast(data: bytes, buffers: Sequence[SendBuffer]) -> None:
    size = len(data)
    for buffer in islice(buffers, _SOCKETS_PER_ITERATION):
        if buffer._protocol.state is not OPEN:
            continue
        if buffer._size or buffer._paused:
            buffer.put(data)
            continue
        try:
            sent = buffer._send(data)
        except OSError:
            sent = 0
        if sent < size:
            buffer.write_remainder(data, sent)
    for buffer in islice(buffers, _SOCKETS_PER_ITERATION, None):
        if buffer._protocol.state is OPEN:
            buffer.put(data)
