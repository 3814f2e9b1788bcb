"""Calls that come at the same time on an event loop share one load: see docs/decisions/0043.

A call waits for the next batch, together with all others that come until it begins. A load therefore always begins
after the call: its answer is never older than that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# Of reads: two queries at a time leave the pool to others, and a batch gathers while they run.
CONCURRENT_READS: Final = 2
# Under load (the last batch had at least this many keys) a read waits for more: a query costs more than its rows.
LINGER_BATCH_SIZE: Final = 4
LINGER_SECONDS: Final = 0.003


@dataclass(slots=True, eq=False)
class _Call(Generic[Key, Value]):
    """One caller, its keys, and the future of one value (or None) for each of them."""

    keys: Sequence[Key]
    future: "asyncio.Future[list[Value | None]]"

    def answer_nothing(self) -> None:
        """Answer None for every key, unless the caller has its answer or is gone."""
        if not self.future.done():
            self.future.set_result([None] * len(self.keys))


@dataclass(slots=True, eq=False)
class _LoopState(Generic[Key, Value]):
    """The calls of one event loop that wait for the next batch."""

    slots: asyncio.Semaphore
    waiting: list[_Call[Key, Value]] = field(default_factory=list)
    is_scheduled: bool = False
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    last_batch_size: int = 0


class BatchLoader(Generic[Key, Value]):
    """Answers many calls by few loads. One loader serves every event loop of the process, each apart."""

    def __init__(
        self,
        load: Callable[[list[Key]], Awaitable[Sequence[Value | None] | None]],
        *,
        max_batch: int | None = None,
        concurrency: int = 1,
        linger: float = 0.0,
        dedupe: bool = False,
        inherit_context: bool = False,
        on_abandoned: Callable[[Key, Value], None] | None = None,
    ) -> None:
        """Load by `load`, which returns the values in the order of the keys; None, or too few: no value.

        - `max_batch`: the maximum number of calls in one load.
        - `concurrency`: the maximum number of loads at a time in one event loop.
        - `linger`: seconds that a load waits for more calls after a batch of LINGER_BATCH_SIZE keys.
        - `dedupe`: equal keys of a batch are loaded once, for a read. Without it each call is loaded, in the order
          they came, for an effect that every call must have, such as a count.
        - `inherit_context`: a load runs in the context (trace, deadlines) of the first call of its batch. Without
          it the context is empty: no request's deadline ends what others wait for, too.
        - `on_abandoned`: called with key and value of a call that was cancelled or timed out while its load ran, to
          undo what the load did for it. A call that is gone before its load begins is left out of it.
        """
        self._load, self._max_batch, self._concurrency = load, max_batch, concurrency
        self._linger, self._dedupe, self._inherit_context = linger, dedupe, inherit_context
        self._on_abandoned = on_abandoned
        self._loop_states: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState[Key, Value]] = (
            WeakKeyDictionary()
        )

    @classmethod
    def of_reads(
        cls, read: Callable[[set[Key]], Awaitable[Mapping[Key, Value]]], *, linger: float = LINGER_SECONDS
    ) -> "BatchLoader[Key, Value]":
        """Make a loader for reads by many keys; `read` leaves out of its mapping what it does not find."""

        async def load(keys: list[Key]) -> list[Value | None]:
            values = await read(set(keys))
            return [values.get(key) for key in keys]

        return BatchLoader(load, concurrency=CONCURRENT_READS, linger=linger, dedupe=True, inherit_context=True)

    async def load(self, key: Key, *, timeout_seconds: float | None = None) -> Value | None:
        """Return the value of one key, None where there is none or none within `timeout_seconds`.

        Raises what the load raises.
        """
        call = self._enqueue([key])
        expiry = None
        if timeout_seconds is not None:
            expiry = call.future.get_loop().call_later(timeout_seconds, call.answer_nothing)
        try:
            (value,) = await call.future
        except asyncio.CancelledError:
            self._abandon(call)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()
        return value

    async def load_many(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """Return the values that there are, by key; raises what the load raises."""
        requested = list(keys)
        if not requested:
            return {}
        values = await self._enqueue(requested).future
        return {key: value for key, value in zip(requested, values, strict=True) if value is not None}

    def _enqueue(self, keys: Sequence[Key]) -> _Call[Key, Value]:
        loop = asyncio.get_running_loop()
        state = self._loop_states.get(loop)
        if state is None:
            state = self._loop_states[loop] = _LoopState(asyncio.Semaphore(self._concurrency))
        call: _Call[Key, Value] = _Call(keys, loop.create_future())
        state.waiting.append(call)
        if not state.is_scheduled:
            self._schedule(state)
        return call

    def _schedule(self, state: _LoopState[Key, Value]) -> None:
        """Have the next batch loaded when its turn comes."""
        state.is_scheduled = True
        task = asyncio.create_task(self._run(state), context=None if self._inherit_context else Context())
        state.tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(state.tasks.discard)

    async def _run(self, state: _LoopState[Key, Value]) -> None:
        async with state.slots:
            if self._linger and state.last_batch_size >= LINGER_BATCH_SIZE:
                await asyncio.sleep(self._linger)
            calls = self._close_batch(state)
            keys = [key for call in calls for key in call.keys]
            if self._dedupe:
                keys = list(dict.fromkeys(keys))
            state.last_batch_size = len(keys)
            if not keys:
                return
            try:
                values = await self._load(keys)
            except Exception as error:  # noqa: BLE001  every caller of the batch gets it
                for call in calls:
                    if not call.future.done():
                        call.future.set_exception(error)
            else:
                self._deliver(calls, keys, values or ())

    def _close_batch(self, state: _LoopState[Key, Value]) -> list[_Call[Key, Value]]:
        """Take the calls that still wait, as many as one load may have; the rest is for the next."""
        calls = [call for call in state.waiting if not call.future.done()]
        rest = [] if self._max_batch is None else calls[self._max_batch :]
        state.waiting, state.is_scheduled = rest, False
        if rest:
            self._schedule(state)
        return calls[: self._max_batch]

    def _deliver(self, calls: list[_Call[Key, Value]], keys: Sequence[Key], values: Sequence[Value | None]) -> None:
        results: Iterator[list[Value | None]]
        if self._dedupe:
            by_key = dict(zip(keys, values, strict=False))
            results = ([by_key.get(key) for key in call.keys] for call in calls)
        else:
            in_order = chain(values, repeat(None))
            results = ([next(in_order) for _ in call.keys] for call in calls)
        for call, result in zip(calls, results, strict=True):
            if call.future.done():
                self._undo(call.keys, result)
            else:
                call.future.set_result(result)

    def _abandon(self, call: _Call[Key, Value]) -> None:
        """Undo what was done for a caller that was cancelled between its answer and its next step."""
        if not call.future.cancelled() and call.future.done() and call.future.exception() is None:
            self._undo(call.keys, call.future.result())

    def _undo(self, keys: Sequence[Key], values: Iterable[Value | None]) -> None:
        if self._on_abandoned is not None:
            for key, value in zip(keys, values, strict=True):
                if value is not None:
                    self._on_abandoned(key, value)
