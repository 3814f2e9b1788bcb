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

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MAX_CONCURRENT_READS: Final = 2
# What is asked for by one read, from here on, is a crowd's.
LINGER_BATCH_SIZE: Final = 4
LINGER_SECONDS: Final = 0.003


@dataclass(slots=True)
class _Batch(Generic[Key, Value]):
    keys: set[Key] = field(default_factory=set)
    task: "asyncio.Task[Mapping[Key, Value]] | None" = None


@dataclass(slots=True)
class _LoopState(Generic[Key, Value]):
    """Where one event loop asks."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_READS))
    next_batch: _Batch[Key, Value] | None = None
    last_was_large: bool = False


class BatchLoader(Generic[Key, Value]):
    """Answers many by few calls of `read`, at most two at a time in a loop; what is not found is left out."""

    def __init__(
        self,
        read: Callable[[set[Key]], Awaitable[Mapping[Key, Value]]],
        *,
        linger: float = LINGER_SECONDS,
    ) -> None:
        """Gather for `read`; in a crowd for so many seconds more than the reads before it last."""
        self._read, self._linger = read, linger
        self._loop_states: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState[Key, Value]] = (
            WeakKeyDictionary()
        )

    async def load_many(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """Return what was found; raises what the reading raises."""
        key_list = list(keys)
        if not key_list:
            return {}
        state = self._loop_states.setdefault(asyncio.get_running_loop(), _LoopState())
        batch = state.next_batch
        if batch is None:
            batch = state.next_batch = _Batch()
            batch.task = asyncio.create_task(self._run(state, batch))  # in the trace of the first
            # Whoever asked may be gone by then.
            batch.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        batch.keys.update(key_list)
        assert batch.task is not None
        values = await asyncio.shield(batch.task)
        return {each: values[each] for each in key_list if each in values}

    async def _run(self, state: _LoopState[Key, Value], batch: _Batch[Key, Value]) -> Mapping[Key, Value]:
        async with state.slots:
            if state.last_was_large and self._linger:
                await asyncio.sleep(self._linger)
            state.last_was_large = len(batch.keys) >= LINGER_BATCH_SIZE
            state.next_batch = None  # who asks from now on is for the next
            return await self._read(batch.keys)
