"""What waits for a socket, in order and in whole frames.

Frames that come within one turn of the event loop leave together, in one write, at the turn's end. While the
kernel takes no more they wait here and not in Twisted's buffer, so that they can still be thrown away: a
socket for which more than 1 MiB waits is told so by a close frame and cut.

This is the path of every delivery, 10,000 of them for one event in a large room: it is written to be short.
"""

# ruff: noqa: N802, SLF001  names and signatures of Autobahn and Twisted

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from freight.server import transport_buffer
from freight.server.websocket import framing
from freight.server.websocket.loop_throttle import LoopThrottle

# What may wait in the process for one socket.
MAX_BUFFERED_BYTES: Final = 1024 * 1024
# What is joined into one write, and so the most that stands before a close frame when the socket is cut.
_BATCH_BYTES: Final = 64 * 1024
# Sockets that are written to before other events get their turn.
_SOCKETS_PER_ITERATION: Final = 500


class FlushScheduler:
    """The sockets of a process that were given something in this turn of its event loop.

    It also keeps the frame that was built last: a hub gives the same bytes to every member of a room in turn.
    """

    def __init__(self) -> None:
        self.last_payload = b""
        self.last_frame = framing.encode_frame(b"")
        self.pending: deque[SendBuffer] = deque()
        self.close_throttle = LoopThrottle()
        self.scheduled = False

    def schedule(self) -> None:
        """Write to the sockets when the turn is over."""
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
    """The protocol of an outbox whose connection is no more."""

    state = 0  # STATE_CLOSED

    def close_slow(self) -> None:
        """Do nothing."""


_CLOSED_PROTOCOL: Final = _ClosedProtocol()


class SendBuffer:
    """One socket's frames; also the producer that its transport tells when it is empty."""

    __slots__ = (
        "_drained",
        "_flush_scheduled",
        "_frames",
        "_paused",
        "_protocol",
        "_scheduler",
        "_send",
        "_size",
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
        # By what the transport still has to write: here the end of an answer to a request before.
        self._paused = transport.producerPaused = transport_buffer.buffered_bytes(transport) > 0
        self._drained: asyncio.Future[None] | None = None

    def write(self, payload: bytes) -> None:
        """Send a text message at the end of this turn, unless the socket is closing; never waits."""
        if self._protocol.state != 3:  # STATE_OPEN, without the look-up
            return
        scheduler = self._scheduler
        if payload is not scheduler.last_payload:
            scheduler.last_frame, scheduler.last_payload = framing.encode_frame(payload), payload
        self.put(scheduler.last_frame)

    @staticmethod
    def broadcast(payloads: Sequence[bytes], buffers: "Sequence[SendBuffer]") -> None:
        """Send the same text messages to many sockets: now to those that can take them, else as `put`."""
        for batch in batched(payloads):
            _broadcast(b"".join(map(framing.encode_frame, batch)), buffers)

    def put(self, frame: bytes) -> None:
        """Send a ready frame at the end of this turn; never waits."""
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
        """Give the kernel a chance, and cut the socket where it takes too little."""
        self.flush()
        if self._size > MAX_BUFFERED_BYTES:
            self.clear()
            self._scheduler.close_throttle.add(self._protocol.close_slow)
            self.detach()  # nothing more is written but the close frame

    def flush(self) -> None:
        """Write what waits, as far as the kernel takes it."""
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
                sent = 0  # full; or broken, which the transport meets in its turn and reports
            if sent < len(batch):
                self.write_remainder(batch, sent)
                return
        if self._drained is not None:
            self._resolve_drained()

    def write_remainder(self, batch: bytes, sent: int) -> None:
        """Leave to the transport what the kernel has not taken; it calls when it has nothing any more."""
        self._transport.write(batch[sent:] if sent else batch)
        self._paused = self._transport.producerPaused = True

    def flush_to_transport(self) -> None:
        """Leave everything to the transport, which closes after it has written."""
        self._transport.write(b"".join(self._frames))
        self.clear()

    def clear(self) -> None:
        """Throw away what waits here. What the transport holds ends with a whole frame."""
        self._frames.clear()
        self._size = 0

    async def drain(self) -> None:
        """Wait until nothing waits here, or the socket is gone."""
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
        """Let go of the protocol, which holds the outbox: neither is needed any more."""
        self._protocol = _CLOSED_PROTOCOL

    # -- what Twisted calls on a producer -------------------------------------------------------------------

    def resumeProducing(self) -> None:
        """Continue once the transport is empty."""
        self._paused = False
        self.flush()

    def pauseProducing(self) -> None:
        """Do nothing: while the transport has data, nothing is added."""

    def stopProducing(self) -> None:
        """Discard the frames of a lost connection."""
        self.clear()
        self._resolve_drained()


def batched(payloads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Part messages into as many as are written together."""
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
        if buffer._protocol.state != 3:  # STATE_OPEN, without the look-up
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
        if buffer._protocol.state == 3:
            buffer.put(data)
