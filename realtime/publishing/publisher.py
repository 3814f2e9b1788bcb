"""Publishes hints: a bounded queue, a publisher thread with its own event loop, a deadline and a circuit breaker.

The hints that wait are published in one round trip, with one message that says which logs have grown. A hint may
get lost, because every hub compares its rooms with the log: `publish_*` never wait and never raise.
"""

import asyncio
import os
import queue
import threading
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import structlog
from channels.layers import get_channel_layer

from monitoring import clock
from monitoring.dependencies.breaker import CircuitBreaker
from monitoring.tracing import trace_context
from realtime import metrics
from realtime.protocol.room_names import COMMITS_GROUP, CONTROL_GROUP

DEADLINE_SECONDS: Final = 0.3
QUEUE_SIZE: Final = 10_000
MAX_BATCH: Final = 50
BREAKER_RESET_SECONDS: Final = 0.5
MAX_FRAME_BYTES: Final = 4096

log = structlog.get_logger(__name__)


class Commit(NamedTuple):
    """A log that has grown: of a shipment or, where it is a feed, of an organisation.

    `numbered`: whether it is the feed, whose entries have their numbers; a shipment's event still waits for one.
    """

    key: uuid.UUID
    numbered: bool


class _Hint(NamedTuple):
    """A message to a group, and the commit that it is about."""

    group: str
    message: dict[str, Any]
    commit: Commit | None = None


class Publisher:
    """One thread that publishes hints in the order of their commits; while Redis does not answer it drops them."""

    def __init__(self) -> None:
        self._queue: queue.Queue[_Hint] = queue.Queue(QUEUE_SIZE)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker(
            "redis_publish",
            reset_seconds=BREAKER_RESET_SECONDS,
            consequence="hints are dropped, the sweep finds events",
        )
        self.published = 0
        self.failed = 0

    def publish(self, group: str, message: dict[str, Any], commit: Commit | None = None) -> None:
        """Enqueue a hint; where the queue is full, drop and count it."""
        self._ensure_thread()
        try:
            self._queue.put_nowait(_Hint(group, message, commit))
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
            if not self._breaker.allows_call():
                self._count_failures(len(hints))
                continue
            try:
                loop.run_until_complete(_send(layer, hints))
                self.published += len(hints)
                self._breaker.record_success()
            except Exception as error:  # noqa: BLE001  the thread must go on: whatever the layer raises is a lost hint
                self._count_failures(len(hints))
                self._breaker.record_failure(error)
                log.warning("hint not published", error=repr(error), failed=self.failed)

    def _next_batch(self) -> list[_Hint]:
        """Wait for a hint and return it with the next ones in the queue, MAX_BATCH at most."""
        hints = [self._queue.get()]
        with suppress(queue.Empty):
            while len(hints) < MAX_BATCH:
                hints.append(self._queue.get_nowait())
        return hints


async def _send(layer: Any, hints: Sequence[_Hint]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await layer.publish(_messages(hints))


def _messages(hints: Sequence[_Hint]) -> list[tuple[str, dict[str, Any]]]:
    """Return the messages of hints, and behind them one for all their commits."""
    messages = [(each.group, each.message) for each in hints]
    if commits := {each.commit for each in hints if each.commit}:
        messages.append((COMMITS_GROUP, _committed(commits)))
    return messages


def _committed(commits: Collection[Commit]) -> dict[str, Any]:
    return {
        "type": "committed",
        "keys": list({each.key.bytes for each in commits}),
        "unnumbered": not all(each.numbered for each in commits),
    }


_publisher = Publisher()


def _replace_after_fork() -> None:
    """Give a forked child its own publisher: threads and event loops do not survive a fork."""
    global _publisher
    _publisher = Publisher()


os.register_at_fork(after_in_child=_replace_after_fork)


def publish_hint(
    group: str,
    *,
    seq: int,
    epoch: str,
    frame: bytes | None,
    ends: bool = False,
    reassigns: bool = False,
    committed_at: float | None = None,
    numbered: dict[str, float] | None = None,
    key: uuid.UUID | None = None,
) -> None:
    """Publish that the log of a room has a new event, with its frame where that is small.

    `ends`: the subject of the room is deleted; `reassigns`: it may now belong to another driver or customer.
    `key`: the id of the shipment or organisation whose log it is. Times are in seconds since 1970. `committed_at`:
    by default now. `numbered`: the log is a feed, and its entries `after` this number were committed `since` then.
    """
    message: dict[str, Any] = {
        "type": "hint",
        "group": group,
        "seq": seq,
        "epoch": epoch,
        "ends": ends,
        "reassigns": reassigns,
        "at": committed_at or clock.now().timestamp(),
    }
    if trace := trace_context.outgoing_traceparent():
        message["trace"] = trace
    if numbered:
        message["numbered"] = numbered
    if frame is not None and len(frame) <= MAX_FRAME_BYTES:
        message["frame"] = frame
    _publisher.publish(group, message, Commit(key, numbered is not None) if key else None)


def publish_unnumbered() -> None:
    """Publish that an event was committed that belongs to no shipment: it waits for its number in a feed."""
    _publisher.publish(COMMITS_GROUP, {"type": "committed", "keys": [], "unnumbered": True})


def publish_latest(group: str, *, version: int, frame: bytes) -> None:
    """Publish the newest value of a room without a history."""
    _publisher.publish(group, {"type": "latest", "group": group, "version": version, "frame": frame})


def publish_recheck(principal_id: uuid.UUID) -> None:
    """Have every process check the open sockets of a user or tracking link again."""
    _publisher.publish(CONTROL_GROUP, {"type": "control", "whose": str(principal_id)})


def current() -> Publisher:
    """Return this process's publisher, for its counters."""
    return _publisher
