"""Long polls: one query serves all waiters of an event loop, at once where a hint comes, else every half second."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import psycopg
from asgiref.sync import SyncToAsync
from django.db import connection

from monitoring.health import process_state
from shipments.selectors import async_reads

_INTERVAL_SECONDS: Final = (0.4, 0.6)
OnGrown = Callable[[set[uuid.UUID]], None]
# Polls by hints are at least this far apart.
_MIN_INTERVAL_SECONDS: Final = 0.025
# A hint ends only waits that are this old: clients of a busy log ask no more often than without hints.
_MIN_WAIT_SECONDS: Final = 0.5


@dataclass(eq=False, slots=True)
class _Waiter:
    epoch: str
    after: int
    since: float  # on the loop's clock
    future: asyncio.Future[tuple[str, int]]


class _LoopPoller:
    """Polls the database for the waiters of one event loop, by key; its task runs only while there are any."""

    def __init__(self) -> None:
        self.waiters: dict[uuid.UUID, set[_Waiter]] = {}
        self.task: asyncio.Task[None] | None = None
        self._grown: set[uuid.UUID] = set()  # named by hints since the last poll
        self._all_due_at = 0.0  # on the loop's clock
        self._wakeup = asyncio.Event()
        for listen in _commit_hints:
            listen(self.wake)

    def wake(self, keys: Collection[uuid.UUID]) -> None:
        """Poll soon for those of the keys that have been waited for long enough."""
        old = asyncio.get_running_loop().time() - _MIN_WAIT_SECONDS
        for key in keys:
            if any(waiter.since <= old for waiter in self.waiters.get(key, ())):
                self._grown.add(key)
                self._wakeup.set()

    def add(self, key: uuid.UUID, waiter: _Waiter) -> None:
        self.waiters.setdefault(key, set()).add(waiter)
        if self.task is None:
            loop = asyncio.get_running_loop()
            self._all_due_at = loop.time() + random.uniform(*_INTERVAL_SECONDS)  # noqa: S311  as below
            self.task = loop.create_task(self._poll())

    def remove(self, key: uuid.UUID, waiter: _Waiter) -> None:
        self.waiters[key].discard(waiter)
        if not self.waiters[key]:
            del self.waiters[key]
        if not self.waiters and self.task is not None:
            self.task.cancel()
            self.task = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_MIN_INTERVAL_SECONDS)
            keys, old = await self._next_keys()
            if process_state.is_draining():
                self._time_out_all()
                continue
            try:
                epoch, heads = await async_reads.fetch_heads(keys)
            except psycopg.Error:
                continue  # the database is unavailable: retry at the next poll
            for key in keys:
                head = heads.get(key, 0)
                for waiter in self.waiters.get(key, ()):
                    # A head that has gone back is news too: the client must not wait for what is not there.
                    is_news = epoch != waiter.epoch or head != waiter.after
                    if is_news and waiter.since <= old and not waiter.future.done():
                        waiter.future.set_result((epoch, head))

    async def _next_keys(self) -> tuple[list[uuid.UUID], float]:
        """Wait for a hint; return the keys that it names, and the beginning of the newest waits that it may end.

        Every half second return all, for a hint may get lost.
        """
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._all_due_at):
                await self._wakeup.wait()
        keys = list(self._grown)
        self._grown.clear()
        self._wakeup.clear()
        now = loop.time()
        if now < self._all_due_at:
            return keys, now - _MIN_WAIT_SECONDS
        self._all_due_at = now + random.uniform(*_INTERVAL_SECONDS)  # noqa: S311  jitter between processes
        return list(self.waiters), now

    def _time_out_all(self) -> None:
        """End all waits with a timeout: the process is draining."""
        for waiters in self.waiters.values():
            for waiter in waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(TimeoutError())


_commit_hints: Final[list[Callable[[OnGrown], None]]] = []


def register_commit_hints(listen: Callable[[OnGrown], None]) -> None:
    """Have `listen` call back, on the loop that it is called on, with the keys whose heads have grown."""
    _commit_hints.append(listen)


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPoller] = WeakKeyDictionary()


async def wait_for_head(key: uuid.UUID, *, epoch: str, after: int, seconds: float) -> tuple[str, int] | None:
    """Wait until the head is not `after` or the epoch changes, and return `(epoch, head)`; None after `seconds`.

    The key is the id of a shipment or, for the feed, of an organisation. Call `release_sync_thread` first.
    """
    loop = asyncio.get_running_loop()
    poller = _pollers.setdefault(loop, _LoopPoller())
    waiter = _Waiter(epoch, after, loop.time(), loop.create_future())
    poller.add(key, waiter)
    try:
        async with asyncio.timeout(seconds):
            return await waiter.future
    except TimeoutError:
        return None
    finally:
        poller.remove(key, waiter)


class Deadline:
    """When the waits of one request end together, on the loop's clock."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = asyncio.get_running_loop().time() + seconds

    def remaining(self) -> float:
        """Return how many seconds are left."""
        return max(0.0, self._ends_at - asyncio.get_running_loop().time())


def release_sync_thread() -> None:
    """End the thread that Django holds for the synchronous parts of this request; a later part gets a new one.

    Django (5.2) opens an asgiref ThreadSensitiveContext around each request and keeps its thread until the last
    byte of the response is sent. Without this a waiting request would hold a thread.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context else None
    if executor is not None:
        executor.shutdown(wait=False)


def release_connection() -> None:
    """Close the thread's database connection now: Django would close it only after the whole body is sent."""
    if not connection.in_atomic_block:
        connection.close()
