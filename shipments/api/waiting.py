"""Long polls: however many wait in a process, one query every half second looks for all of them."""

import asyncio
import random
import uuid
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import psycopg
from asgiref.sync import SyncToAsync

from monitoring import health
from shipments.selectors import live


@dataclass(eq=False, slots=True)
class _Waiter:
    epoch: str
    after: int
    found: asyncio.Future[tuple[str, int]]


class _Watch:
    """The waiters of one event loop, by key; its task lives only while somebody waits."""

    def __init__(self) -> None:
        self.waiters: dict[uuid.UUID, set[_Waiter]] = {}
        self.task: asyncio.Task[None] | None = None

    def add(self, key: uuid.UUID, waiter: _Waiter) -> None:
        self.waiters.setdefault(key, set()).add(waiter)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._look())

    def remove(self, key: uuid.UUID, waiter: _Waiter) -> None:
        self.waiters[key].discard(waiter)
        if not self.waiters[key]:
            del self.waiters[key]
        if not self.waiters and self.task is not None:
            self.task.cancel()
            self.task = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.4, 0.6))  # noqa: S311  spreads processes, hides nothing
            if health.is_draining():
                self._give_up()
                continue
            try:
                epoch, heads = await live.fetch_heads(list(self.waiters))
            except psycopg.Error:
                continue  # while the database is away nothing is new
            for key, waiters in self.waiters.items():
                head = heads.get(key, 0)
                for waiter in waiters:
                    if (epoch != waiter.epoch or head > waiter.after) and not waiter.found.done():
                        waiter.found.set_result((epoch, head))

    def _give_up(self) -> None:
        """This will answer everybody with what they have: the process is going to stop."""
        for waiters in self.waiters.values():
            for waiter in waiters:
                if not waiter.found.done():
                    waiter.found.set_exception(TimeoutError())


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


async def news(key: uuid.UUID, *, epoch: str, after: int, seconds: float) -> tuple[str, int] | None:
    """This will return epoch and head once either has gone on, None when the time is up first.

    The key is a shipment or, for its feed, an organisation.
    """
    loop = asyncio.get_running_loop()
    watch = _watches.setdefault(loop, _Watch())
    waiter = _Waiter(epoch, after, loop.create_future())
    watch.add(key, waiter)
    try:
        return await asyncio.wait_for(waiter.found, seconds)
    except TimeoutError:
        return None
    finally:
        watch.remove(key, waiter)


def let_thread_go() -> None:
    """This will end the thread that Django keeps for this request's synchronous parts; the next one makes another.

    Django (5.2) opens an asgiref ThreadSensitiveContext around each request and holds its thread until the
    last byte is out.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context else None
    if executor is not None:
        executor.shutdown(wait=False)
