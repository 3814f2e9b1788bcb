"""A client that stops reading: how much the server buffers for it, and when it cuts it."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from tests.bench.fanout.event_source import EventSource
from tests.bench.fanout.load_generator import PendingSocket
from tests.bench.fanout.peers import LoadProcess, Peer

_FRAME_BYTES: Final = 3500
_CUT_WITHIN_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02


def run_stopped_reader(event_source: EventSource, peer: Peer, megabytes: int) -> dict[str, Any]:
    """Publish to a room of one client that reads and one that does not, and measure the server."""
    room, frames = event_source.oversized_frames(megabytes * 1024 * 1024 // _FRAME_BYTES, size=_FRAME_BYTES)
    peer.start()
    load = None
    try:
        target = replace(peer.target(sockets=1, rooms=1), first_room=room)
        load = LoadProcess(target)
        with (
            _stopped_reader(target) as reader,
            _watch_memory(peer) as memory_samples,
            ThreadPoolExecutor(1) as executor,
        ):
            load.expect(len(frames))
            time.sleep(0.2)
            before, began = peer.memory(), time.monotonic()
            cut_future = executor.submit(_seconds_until_cut, reader, began)
            peer.flood([(room, frame) for frame in frames])
            load.wait_for_deliveries()
            cut_after = cut_future.result()
        return {
            "publishedMb": round(sum(map(len, frames)) / 2**20, 1),
            "grownMb": round((max(memory_samples) - before) / 2**20, 1),
            "cutAfterSeconds": cut_after,
        }
    finally:
        if load:
            load.stop()
        peer.stop()


@contextmanager
def _stopped_reader(target: Any) -> Iterator[socket.socket]:
    """Open a socket that stops reading once it has joined its room."""
    pending = PendingSocket(target, 0, receive_buffer=4096)
    poll = select.poll()
    poll.register(pending.connection, select.POLLOUT)
    poll.poll(10_000)
    poll.modify(pending.connection, select.POLLIN)
    while not pending.advance():
        poll.poll(10_000)
    yield pending.connection
    pending.connection.close()


@contextmanager
def _watch_memory(peer: Peer) -> Iterator[list[int]]:
    """Sample the peer's memory while the block runs."""
    samples, stopped = [peer.memory()], threading.Event()

    def sample() -> None:
        while not stopped.wait(_POLL_SECONDS):
            samples.append(peer.memory())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stopped.set()
        thread.join()


def _seconds_until_cut(reader: socket.socket, began: float) -> float | None:
    """Return the seconds until the server closed the connection, None where it does not."""
    poll = select.poll()
    poll.register(reader, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return round(time.monotonic() - began, 2) if poll.poll(_CUT_WITHIN_SECONDS * 1000) else None
