"""The only way out for hints: a bounded queue, a publisher thread with its own loop, a deadline and a breaker.

What waits goes in one word with Redis: of a burst all but the first.

A hint may get lost: every hub compares its heads with the table. So nothing waits here and nothing raises.
"""

import asyncio
import os
import queue
import threading
import time
import uuid
from contextlib import suppress
from typing import Any, Final

import structlog
from channels.layers import get_channel_layer

from monitoring.tracing import trace_context
from realtime import metrics
from realtime.protocol.room_names import CONTROL_GROUP

DEADLINE_SECONDS: Final = 0.3
QUEUE_SIZE: Final = 10_000
MAX_BATCH: Final = 50
BREAKER_OPEN_SECONDS: Final = 0.5
MAX_FRAME_BYTES: Final = 4096

log = structlog.get_logger(__name__)


class Publisher:
    """One thread that sends hints in the order of their commits, as long as Redis answers in time."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue(QUEUE_SIZE)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._breaker_open_until = 0.0
        self.published = 0
        self.failed = 0

    def publish(self, group: str, message: dict[str, Any]) -> None:
        """Hand the hint over and return at once; a full queue drops it and counts."""
        self._ensure_thread()
        try:
            self._queue.put_nowait((group, message))
        except queue.Full:
            self._count_failures()

    def _count_failures(self, hints: int = 1) -> None:
        self.failed += hints
        metrics.publish_failures.inc(hints)

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        layer = get_channel_layer()
        while True:
            hints = self._next_batch()
            if time.monotonic() < self._breaker_open_until:
                self._count_failures(len(hints))
                continue
            try:
                loop.run_until_complete(asyncio.wait_for(layer.publish(hints), DEADLINE_SECONDS))
                self.published += len(hints)
            except Exception as error:
                self._count_failures(len(hints))
                self._breaker_open_until = time.monotonic() + BREAKER_OPEN_SECONDS
                log.warning("hint not published", error=repr(error), failed=self.failed)

    def _next_batch(self) -> list[tuple[str, dict[str, Any]]]:
        """Wait for a hint and return it with those that wait behind it."""
        hints = [self._queue.get()]
        with suppress(queue.Empty):
            while len(hints) < MAX_BATCH:
                hints.append(self._queue.get_nowait())
        return hints


_publisher = Publisher()


def _replace_after_fork() -> None:
    """Give a forked child a publisher of its own: threads and loops do not cross a fork."""
    global _publisher
    _publisher = Publisher()


os.register_at_fork(after_in_child=_replace_after_fork)


def publish_hint(
    group: str, *, seq: int, epoch: str, frame: bytes | None, ends: bool = False, reassigns: bool = False
) -> None:
    """Publish that a room has a new head, with the frame itself where it is small.

    `ends`: what the room is about is gone; `reassigns`: it may be another driver's or customer's now.
    """
    message: dict[str, Any] = {
        "type": "hint",
        "group": group,
        "seq": seq,
        "epoch": epoch,
        "ends": ends,
        "reassigns": reassigns,
        "at": time.time(),  # of the commit, a moment ago
    }
    if trace := trace_context.outgoing_traceparent():
        message["trace"] = trace
    if frame is not None and len(frame) <= MAX_FRAME_BYTES:
        message["frame"] = frame
    _publisher.publish(group, message)


def publish_latest(group: str, *, version: int, frame: bytes) -> None:
    """Publish the newest value of a room without a history."""
    _publisher.publish(group, {"type": "latest", "group": group, "version": version, "frame": frame})


def publish_recheck(principal_id: uuid.UUID) -> None:
    """Ask every process to look again at the living sockets of a user or tracking link."""
    _publisher.publish(CONTROL_GROUP, {"type": "control", "whose": str(principal_id)})


def current() -> Publisher:
    """Return this process's publisher, for its counters."""
    return _publisher
