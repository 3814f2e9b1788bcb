"""A reader that stops: what the server keeps for it, and when it lets go."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from tests.bench.fanout.house import House
from tests.bench.fanout.load import Opening
from tests.bench.fanout.peers import Load, Peer

_FRAME_BYTES: Final = 3500
_CUT_WITHIN_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.02


def play(ours: House, peer: Peer, megabytes: int) -> dict[str, Any]:
    """This will publish so much to a room of one reader that reads and one that does not, and watch the server."""
    room, frames = ours.flood(megabytes * 1024 * 1024 // _FRAME_BYTES, size=_FRAME_BYTES)
    peer.start()
    load = None
    try:
        target = replace(peer.target(sockets=1, rooms=1), first_room=room)
        load = Load(target)
        with _stopped(target) as reader, _watched(peer) as grown, ThreadPoolExecutor(1) as beside:
            load.expect(len(frames))
            time.sleep(0.2)
            before, began = peer.memory(), time.monotonic()
            cutting = beside.submit(_cut_after, reader, began)
            peer.flood([(room, frame) for frame in frames])
            load.heard()
            cut = cutting.result()
        return {
            "publishedMb": round(sum(map(len, frames)) / 2**20, 1),
            "grownMb": round((max(grown) - before) / 2**20, 1),
            "cutAfterSeconds": cut,
        }
    finally:
        if load:
            load.stop()
        peer.stop()


@contextmanager
def _stopped(target: Any) -> Iterator[socket.socket]:
    """This will open a socket that reads until it is in its room, and then no more."""
    opening = Opening(target, 0, receive_buffer=4096)
    poll = select.poll()
    poll.register(opening.line, select.POLLOUT)
    poll.poll(10_000)
    poll.modify(opening.line, select.POLLIN)
    while not opening.go_on():
        poll.poll(10_000)
    yield opening.line
    opening.line.close()


@contextmanager
def _watched(peer: Peer) -> Iterator[list[int]]:
    """This will note the peer's memory while the block runs."""
    seen, over = [peer.memory()], threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            seen.append(peer.memory())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _cut_after(reader: socket.socket, began: float) -> float | None:
    """This will return after how many seconds the server ended the connection, None where it does not."""
    poll = select.poll()
    poll.register(reader, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return round(time.monotonic() - began, 2) if poll.poll(_CUT_WITHIN_SECONDS * 1000) else None
