"""A TCP proxy that injects faults: latency, single bytes, a limited rate, silence, resets.

It listens on a port of this machine and forwards to another port or a unix socket.
"""

import asyncio
import contextlib
import socket
import struct
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# Takes a piece, and returns how much of it is forwarded before the connection is cut, None where it is not.
CutRule = Callable[[bytes], int | None]
_CHUNK_BYTES: Final = 64 * 1024
# Bytes that are sent one by one; the rest of a piece is sent whole.
_MAX_SLICES: Final = 400


@dataclass(slots=True)
class Faults:
    """What is injected into new and open connections; by default nothing."""

    delay: float = 0.0  # seconds, each way, of each piece
    slices: bool = False  # byte by byte
    rate: float = 0.0  # bytes a second, 0: unlimited
    silent: bool = False  # reads everything and forwards nothing
    cut_after: int = 0  # bytes to the client, then a reset; 0: never


class FaultProxy:
    """One listening port, for the length of a `with` block."""

    def __init__(self, target: int | Path) -> None:
        self.port = 0
        self.faults = Faults()
        self.cuts = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        self._cut_marker = b""
        self._deliver_before_cut = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        for writer in tuple(self._writers):
            _reset(writer)
        await asyncio.sleep(0)  # transports that were aborted close in the loop's next turn

    def clear_faults(self) -> None:
        """Forward everything without faults from now on."""
        self.faults = Faults()
        self._cut_marker = b""

    def cut_at(self, marker: bytes, *, deliver_first: bool) -> None:
        """Cut the next connection whose client sends the marker, before or after the marker was forwarded."""
        self._cut_marker, self._deliver_before_cut = marker, deliver_first

    # -- one connection -----------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            upstream = await self._connect()
        except OSError:
            _reset(writer)
            return
        self._writers.add(upstream[1])
        pumps = [
            asyncio.create_task(self._pump(reader, upstream[1], self._request_cut_rule())),
            asyncio.create_task(self._pump(upstream[0], writer, self._response_cut_rule())),
        ]
        try:
            # Only `__aexit__` cancels it: asyncio would log a server's connection that ends as cancelled.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            _reset(writer)
            _reset(upstream[1])

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(str(self._target))
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, cut: CutRule) -> None:
        """Forward what is read, with every fault, until the end or a cut."""
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                length = cut(data)
                await self._forward(sink, data if length is None else data[:length])
                if length is not None:
                    self.cuts += 1
                    return

    async def _forward(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        faults = self.faults
        if faults.silent:
            return
        if faults.delay:
            await asyncio.sleep(faults.delay)
        pieces = [data[at : at + 1] for at in range(min(len(data), _MAX_SLICES))] if faults.slices else []
        for piece in [*pieces, data[len(pieces) :]]:
            sink.write(piece)
            await sink.drain()
            if faults.slices:
                await asyncio.sleep(0)
        if faults.rate:
            await asyncio.sleep(len(data) / faults.rate)

    def _request_cut_rule(self) -> CutRule:
        def cut(data: bytes) -> int | None:
            if not self._cut_marker or self._cut_marker not in data:
                return None
            self._cut_marker = b""
            return len(data) if self._deliver_before_cut else 0

        return cut

    def _response_cut_rule(self) -> CutRule:
        forwarded = 0

        def cut(data: bytes) -> int | None:
            nonlocal forwarded
            limit = self.faults.cut_after
            forwarded += len(data)
            return max(0, len(data) - (forwarded - limit)) if limit and forwarded >= limit else None

        return cut


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that its peer sees a reset."""
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
