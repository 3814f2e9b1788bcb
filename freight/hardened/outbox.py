"""What waits for a socket, in order and in whole frames.

Frames that come within one turn of the event loop leave together, in one write, at the turn's end. While the
kernel takes no more they wait here and not in Twisted's buffer, so that they can still be thrown away: a
socket for which more than 1 MiB waits is told so by a close frame and cut.

This is the path of every delivery, 10,000 of them for one event in a large room: it is written to be short.
"""

# ruff: noqa: SLF001  `_spread` is a part of the outboxes
import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from freight.hardened import flow, wire
from freight.hardened.few import Few

# What may wait in the process for one socket.
MOST_BYTES: Final = 1024 * 1024
# What is joined into one write, and so the most that stands before a close frame when the socket is cut.
_BATCH_BYTES: Final = 64 * 1024
# Sockets that are written to before other events get their turn.
_SLICE: Final = 500


class Turn:
    """The sockets of a process that were given something in this turn of its event loop.

    It also keeps the frame that was built last: a hub gives the same bytes to every member of a room in turn.
    """

    def __init__(self) -> None:
        self.payload = b""
        self.frame = wire.frame(b"")
        self.given: deque[Outbox] = deque()
        self.cuts = Few()
        self.called = False

    def call(self) -> None:
        """This will write to the sockets when the turn is over."""
        self.called = True
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        given = self.given
        for _ in range(min(len(given), _SLICE)):
            given.popleft().flush()
        if given:
            self.call()
        else:
            self.called = False


class _Gone:
    """The protocol of an outbox whose connection is no more."""

    state = 0  # STATE_CLOSED

    def cut(self) -> None:
        """This will do nothing."""


_GONE: Final = _Gone()


class Outbox:
    """One socket's frames; also the producer that its transport tells when it is empty."""

    __slots__ = (
        "_blocked", "_frames", "_free", "_marked", "_protocol", "_send", "_size", "_transport", "_turn",
    )  # fmt: skip

    def __init__(self, protocol: Any, transport: Any, turn: Turn) -> None:
        self._protocol = protocol
        self._transport = transport
        self._send = transport.socket.send
        self._turn = turn
        self._frames: list[bytes] = []
        self._size = 0
        self._marked = False
        # By what the transport still has to write: here the end of an answer to a request before.
        self._blocked = transport.producerPaused = flow.waiting(transport) > 0
        self._free: asyncio.Future[None] | None = None

    def write(self, payload: bytes) -> None:
        """This will send a text message at the end of this turn, unless the socket is closing; never waits."""
        if self._protocol.state != 3:  # STATE_OPEN, without the look-up
            return
        turn = self._turn
        if payload is not turn.payload:
            turn.frame, turn.payload = wire.frame(payload), payload
        self.put(turn.frame)

    @staticmethod
    def spread(payloads: Sequence[bytes], boxes: "Sequence[Outbox]") -> None:
        """This will send the same text messages to many sockets: now to those that can take them, else as `put`."""
        for batch in batched(payloads):
            _spread(b"".join(map(wire.frame, batch)), boxes)

    def put(self, frame: bytes) -> None:
        """This will send a ready frame at the end of this turn; never waits."""
        self._frames.append(frame)
        self._size += len(frame)
        if not self._marked:
            self._marked = True
            turn = self._turn
            turn.given.append(self)
            if not turn.called:
                turn.call()
        if self._size > MOST_BYTES:
            self._overflow()

    def _overflow(self) -> None:
        """This will give the kernel a chance, and cut the socket where it takes too little."""
        self.flush()
        if self._size > MOST_BYTES:
            self.forget()
            self._turn.cuts.add(self._protocol.cut)
            self.part()  # nothing more is written but the close frame

    def flush(self) -> None:
        """This will write what waits, as far as the kernel takes it."""
        self._marked = False
        if self._blocked:
            return
        frames = self._frames
        while frames:
            batch = frames.pop() if len(frames) == 1 else self._take()
            self._size -= len(batch)
            try:
                sent = self._send(batch)
            except OSError:
                sent = 0  # full; or broken, which the transport meets in its turn and reports
            if sent < len(batch):
                self.leave(batch, sent)
                return
        if self._free is not None:
            self._let_go()

    def leave(self, batch: bytes, sent: int) -> None:
        """This will leave to the transport what the kernel has not taken; it calls when it has nothing any more."""
        self._transport.write(batch[sent:] if sent else batch)
        self._blocked = self._transport.producerPaused = True

    def hand_over(self) -> None:
        """This will leave everything to the transport, which closes after it has written."""
        self._transport.write(b"".join(self._frames))
        self.forget()

    def forget(self) -> None:
        """This will throw away what waits here. What the transport holds ends with a whole frame."""
        self._frames.clear()
        self._size = 0

    async def free(self) -> None:
        """This will wait until nothing waits here, or the socket is gone."""
        if self._size:
            if self._free is None:
                self._free = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._free)

    def _take(self) -> bytes:
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

    def _let_go(self) -> None:
        if self._free is not None and not self._free.done():
            self._free.set_result(None)
        self._free = None

    def part(self) -> None:
        """This will let go of the protocol, which holds the outbox: neither is needed any more."""
        self._protocol = _GONE

    # -- what Twisted calls on a producer -------------------------------------------------------------------

    def resumeProducing(self) -> None:  # noqa: N802
        """The transport is empty."""
        self._blocked = False
        self.flush()

    def pauseProducing(self) -> None:  # noqa: N802
        """The transport has enough; nothing more is put into it anyway."""

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is gone."""
        self.forget()
        self._let_go()


def batched(payloads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """This will part messages into as many as are written together."""
    first = size = 0
    for number, payload in enumerate(payloads):
        if size and size + len(payload) > _BATCH_BYTES:
            yield payloads[first:number]
            first, size = number, 0
        size += len(payload)
    yield payloads[first:]


def _spread(data: bytes, boxes: Sequence[Outbox]) -> None:
    size = len(data)
    for box in islice(boxes, _SLICE):
        if box._protocol.state != 3:  # STATE_OPEN, without the look-up
            continue
        if box._size or box._blocked:
            box.put(data)
            continue
        try:
            sent = box._send(data)
        except OSError:
            sent = 0
        if sent < size:
            box.leave(data, sent)
    for box in islice(boxes, _SLICE, None):
        if box._protocol.state == 3:
            box.put(data)
