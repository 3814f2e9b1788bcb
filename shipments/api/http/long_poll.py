"""Long polls: however many wait in a process, one query every half second looks for all of them."""

import asyncio
import random
import uuid
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import psycopg
from asgiref.sync import SyncToAsync

from monitoring.health import process_state
from shipments.selectors import async_reads


@dataclass(eq=False, slots=True)
class _Waiter:
    epoch: str
    after: int
    future: asyncio.Future[tuple[str, int]]


class _LoopPoller:
    """The waiters of one event loop, by key; its task lives only while somebody waits."""

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
            await asyncio.sleep(random.uniform(0.4, 0.6))
            if process_state.is_draining():
                self._time_out_all()
                continue
            try:
                epoch, heads = await async_reads.fetch_heads(list(self.waiters))
            except psycopg.Error:
                continue  # while the database is away nothing is new
            for key, waiters in self.waiters.items():
                head = heads.get(key, 0)
                for waiter in waiters:
                    if (epoch != waiter.epoch or head > waiter.after) and not waiter.future.done():
                        waiter.future.set_result((epoch, head))

    def _time_out_all(self) -> None:
        """Answer everybody with what they have: the process is going to stop."""
        for waiters in self.waiters.values():
            for waiter in waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(TimeoutError())


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPoller] = WeakKeyDictionary()


async def wait_for_head(key: uuid.UUID, *, epoch: str, after: int, seconds: float) -> tuple[str, int] | None:
    """Return epoch and head once either has gone on, None when the time is up first.

    The key is a shipment or, for its feed, an organisation.
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
    """End the thread that Django keeps for this request's synchronous parts; the next one makes another.

    Django (5.2) opens an asgiref ThreadSensitiveContext around each request and holds its thread until the
    last byte is out.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context else None
    if executor is not None:
        executor.shutdown(wait=False)
