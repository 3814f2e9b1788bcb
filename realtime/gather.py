"""Reads of many who ask at once, by few queries.

Whoever asks while a read is under way is answered by the next one, together with all others who ask meanwhile: a
read always begins after it was asked for, so nobody is told of an older state, and what is asked for twice is read
once. In a crowd the next read waits a moment for more of it: what a query costs beside its rows is paid less often.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

Asked = TypeVar("Asked", bound=Hashable)
Found = TypeVar("Found")

READS_AT_ONCE: Final = 2
# What is asked for by one read, from here on, is a crowd's.
CROWD: Final = 4
CROWD_SECONDS: Final = 0.003


@dataclass(slots=True)
class _Batch(Generic[Asked, Found]):
    asked: set[Asked] = field(default_factory=set)
    reading: "asyncio.Task[Mapping[Asked, Found]] | None" = None


@dataclass(slots=True)
class _Desk(Generic[Asked, Found]):
    """Where one event loop asks."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_AT_ONCE))
    next: _Batch[Asked, Found] | None = None
    crowded: bool = False


class Gathered(Generic[Asked, Found]):
    """Answers many by few calls of `read`, at most two at a time in a loop; what is not found is left out."""

    def __init__(
        self,
        read: Callable[[set[Asked]], Awaitable[Mapping[Asked, Found]]],
        *,
        linger: float = CROWD_SECONDS,
    ) -> None:
        """This will gather for `read`; in a crowd for so many seconds more than the reads before it last."""
        self._read, self._linger = read, linger
        self._desks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk[Asked, Found]] = WeakKeyDictionary()

    async def ask(self, asked: Iterable[Asked]) -> dict[Asked, Found]:
        """This will return what was found; raises what the reading raises."""
        wanted = list(asked)
        if not wanted:
            return {}
        desk = self._desks.setdefault(asyncio.get_running_loop(), _Desk())
        batch = desk.next
        if batch is None:
            batch = desk.next = _Batch()
            batch.reading = asyncio.create_task(self._work(desk, batch))  # in the trace of the first
            # Whoever asked may be gone by then.
            batch.reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        batch.asked.update(wanted)
        assert batch.reading is not None  # noqa: S101  made with it
        found = await asyncio.shield(batch.reading)
        return {each: found[each] for each in wanted if each in found}

    async def _work(self, desk: _Desk[Asked, Found], batch: _Batch[Asked, Found]) -> Mapping[Asked, Found]:
        async with desk.turns:
            if desk.crowded and self._linger:
                await asyncio.sleep(self._linger)
            desk.crowded = len(batch.asked) >= CROWD
            desk.next = None  # who asks from now on is for the next
            return await self._read(batch.asked)
