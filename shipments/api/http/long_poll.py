"""Long polls: one query every half second serves all waiters of an event loop."""

import asyncio
import random
import uuid
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import psycopg
from asgiref.sync import SyncToAsync
from django.db import connection

from monitoring.health import process_state
from shipments.selectors import async_reads


@dataclass(eq=False, slots=True)
class _Waiter:
    epoch: str
    after: int
    future: asyncio.Future[tuple[str, int]]


class _LoopPoller:
    """Polls the database for the waiters of one event loop, by key; its task runs only while there are any."""

    def __init__(self) -> None:
        self.waiters: dict[uuid.UUID, set[_Waiter]] = {}
        self.task: asyncio.Task[None] | None = None

    def add(self, key: uuid.UUID, waiter: _Waiter) -> None:
        self.waiters.setdefault(key, set()).add(waiter)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._poll())

    def remove(self, key: uuid.UUID, waiter: _Waiter) -> None:
        self.waiters[key].discard(waiter)
        if not self.waiters[key]:
            del self.waiters[key]
        if not self.waiters and self.task is not None:
            self.task.cancel()
            self.task = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.4, 0.6))  # noqa: S311  jitter between processes, no secret
            if process_state.is_draining():
                self._time_out_all()
                continue
            try:
                epoch, heads = await async_reads.fetch_heads(list(self.waiters))
            except psycopg.Error:
                continue  # the database is unavailable: retry at the next poll
            for key, waiters in self.waiters.items():
                head = heads.get(key, 0)
                for waiter in waiters:
                    if (epoch != waiter.epoch or head > waiter.after) and not waiter.future.done():
                        waiter.future.set_result((epoch, head))

    def _time_out_all(self) -> None:
        """End all waits with a timeout: the process is draining."""
        for waiters in self.waiters.values():
            for waiter in waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(TimeoutError())


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPoller] = WeakKeyDictionary()


async def wait_for_head(key: uuid.UUID, *, epoch: str, after: int, seconds: float) -> tuple[str, int] | None:
    """Wait until the head passes `after` or the epoch changes, and return `(epoch, head)`; None after `seconds`.

    The key is the id of a shipment or, for the feed, of an organisation. Call `release_sync_thread` first.
    """
    loop = asyncio.get_running_loop()
    poller = _pollers.setdefault(loop, _LoopPoller())
    waiter = _Waiter(epoch, after, loop.create_future())
    poller.add(key, waiter)
    try:
        return await asyncio.wait_for(waiter.future, seconds)
    except TimeoutError:
        return None
    finally:
        poller.remove(key, waiter)


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
