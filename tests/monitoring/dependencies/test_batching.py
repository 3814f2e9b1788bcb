"""Loads that overlap share reads, and each load sees a state no older than its call."""

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar

import pytest

from monitoring.dependencies.batching import LINGER_BATCH_SIZE, LINGER_SECONDS, BatchLoader

ODD = {1: "one", 3: "three"}


class Backend:
    """Records the keys of every read; answers once `unblocked` is set. Key 13 fails."""

    def __init__(self) -> None:
        self.reads: list[set[int]] = []
        self.unblocked = asyncio.Event()

    async def read(self, keys: Iterable[int]) -> dict[int, str]:
        keys_read = set(keys)
        self.reads.append(keys_read)
        await self.unblocked.wait()
        if 13 in keys_read:
            raise OSError("away")
        return {each: ODD[each] for each in keys_read if each in ODD}


async def test_a_call_during_a_read_is_answered_by_the_next_read() -> None:
    backend = Backend()
    loader = BatchLoader.of_reads(backend.read)
    early = [asyncio.create_task(loader.load_many([number])) for number in (1, 3)]
    for _ in range(3):
        await asyncio.sleep(0)
    # Both slots are taken in turn; the later calls wait for the next read.
    second = asyncio.create_task(loader.load_many([3]))
    for _ in range(3):
        await asyncio.sleep(0)
    late = [asyncio.create_task(loader.load_many([number, 2])) for number in (1, 3, 3, 1)]
    for _ in range(3):
        await asyncio.sleep(0)
    backend.unblocked.set()

    assert await asyncio.gather(*early) == [{1: "one"}, {3: "three"}]
    assert await second == {3: "three"}
    assert await asyncio.gather(*late) == [{1: "one"}, {3: "three"}, {3: "three"}, {1: "one"}]
    assert backend.reads == [{1, 3}, {3}, {1, 2, 3}]


async def test_a_read_lingers_after_a_large_batch_only() -> None:
    backend = Backend()
    backend.unblocked.set()
    loader = BatchLoader.of_reads(backend.read)
    await loader.load_many(range(LINGER_BATCH_SIZE))

    first = asyncio.create_task(loader.load_many([1]))
    await asyncio.sleep(LINGER_SECONDS / 3)
    await loader.load_many([3])
    await first
    alone = asyncio.create_task(loader.load_many([1]))
    for _ in range(3):
        await asyncio.sleep(0)

    assert backend.reads == [set(range(LINGER_BATCH_SIZE)), {1, 3}, {1}]
    assert await alone == {1: "one"}


async def test_a_failed_read_raises_for_its_own_callers_only() -> None:
    backend = Backend()
    backend.unblocked.set()
    loader = BatchLoader.of_reads(backend.read)

    results = await asyncio.gather(loader.load_many([13]), loader.load_many([1]), return_exceptions=True)

    assert [type(each) for each in results] == [OSError, OSError]
    assert await loader.load_many([1]) == {1: "one"}


async def test_a_cancelled_caller_does_not_cancel_the_others() -> None:
    backend = Backend()
    loader = BatchLoader.of_reads(backend.read)
    cancelled, stays = (asyncio.create_task(loader.load_many([1])) for _ in range(2))
    await asyncio.sleep(0)

    cancelled.cancel()
    backend.unblocked.set()

    assert await stays == {1: "one"}


class Ledger:
    """Records every batch and numbers its keys; answers once `unblocked` is set. Key 13 has no answer."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.undone: list[tuple[int, str]] = []
        self.contexts: list[str] = []
        self.unblocked = asyncio.Event()

    async def load(self, keys: list[int]) -> list[str | None]:
        self.batches.append(keys)
        self.contexts.append(trace.get())
        await self.unblocked.wait()
        return [None if key == 13 else f"{key} is {place}" for place, key in enumerate(keys)]

    def undo(self, key: int, value: str) -> None:
        self.undone.append((key, value))


trace: ContextVar[str] = ContextVar("trace", default="none")


async def run_ready_callbacks() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_without_dedupe_equal_keys_are_loaded_each_in_order() -> None:
    ledger = Ledger()
    ledger.unblocked.set()
    loader: BatchLoader[int, str] = BatchLoader(ledger.load)

    values = await asyncio.gather(*(loader.load(key) for key in (7, 8, 7)))

    assert ledger.batches == [[7, 8, 7]]
    assert values == ["7 is 0", "8 is 1", "7 is 2"]


async def test_with_dedupe_equal_keys_are_loaded_once_for_all_their_callers() -> None:
    ledger = Ledger()
    ledger.unblocked.set()
    loader: BatchLoader[int, str] = BatchLoader(ledger.load, dedupe=True)

    values = await asyncio.gather(*(loader.load(key) for key in (7, 8, 7)))

    assert ledger.batches == [[7, 8]]
    assert values == ["7 is 0", "8 is 1", "7 is 0"]


async def test_a_batch_has_no_more_calls_than_allowed_and_one_runs_at_a_time() -> None:
    ledger = Ledger()
    loader: BatchLoader[int, str] = BatchLoader(ledger.load, max_batch=2)
    calls = [asyncio.create_task(loader.load(key)) for key in range(5)]
    await run_ready_callbacks()
    started = list(ledger.batches)

    ledger.unblocked.set()
    await asyncio.gather(*calls)

    assert started == [[0, 1]]
    assert ledger.batches == [[0, 1], [2, 3], [4]]


async def test_a_load_inherits_the_context_of_the_first_call_or_has_an_empty_one() -> None:
    inherited, empty = Ledger(), Ledger()
    loaders: list[BatchLoader[int, str]] = [
        BatchLoader(inherited.load, inherit_context=True),
        BatchLoader(empty.load),
    ]

    async def call_in_trace(loader: BatchLoader[int, str], name: str) -> None:
        trace.set(name)
        await loader.load(1)

    for ledger, loader in zip((inherited, empty), loaders, strict=True):
        ledger.unblocked.set()
        await asyncio.gather(*(call_in_trace(loader, name) for name in ("first", "second")))

    assert (inherited.contexts, empty.contexts) == (["first"], ["none"])


async def test_a_caller_that_is_gone_before_its_load_begins_is_left_out_of_it() -> None:
    ledger = Ledger()
    loader: BatchLoader[int, str] = BatchLoader(ledger.load, on_abandoned=ledger.undo)
    running = asyncio.create_task(loader.load(1))
    await run_ready_callbacks()
    gone, stays = (asyncio.create_task(loader.load(key)) for key in (2, 3))
    await run_ready_callbacks()

    gone.cancel()
    ledger.unblocked.set()

    assert [await running, await stays] == ["1 is 0", "3 is 0"]
    assert ledger.batches == [[1], [3]]
    assert ledger.undone == []


async def test_what_a_load_did_for_a_caller_that_left_meanwhile_is_undone() -> None:
    ledger = Ledger()
    loader: BatchLoader[int, str] = BatchLoader(ledger.load, on_abandoned=ledger.undo)
    cancelled, stays = (asyncio.create_task(loader.load(key)) for key in (2, 3))
    late = asyncio.create_task(loader.load(4, timeout_seconds=0.001))
    assert await late is None

    cancelled.cancel()
    ledger.unblocked.set()

    assert await stays == "3 is 1"
    assert ledger.undone == [(2, "2 is 0"), (4, "4 is 2")]


async def test_a_caller_that_is_cancelled_with_its_answer_in_hand_is_undone_too() -> None:
    ledger = Ledger()
    loader: BatchLoader[int, str] = BatchLoader(ledger.load, on_abandoned=ledger.undo)
    answered = asyncio.create_task(loader.load(2))
    await run_ready_callbacks()
    ledger.unblocked.set()
    await asyncio.sleep(0)  # the load ends in this turn of the loop, its caller goes on in the next

    answered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answered

    assert ledger.undone == [(2, "2 is 0")]


async def test_a_key_without_a_value_and_a_call_without_an_answer_in_time_get_none() -> None:
    ledger = Ledger()
    loader: BatchLoader[int, str] = BatchLoader(ledger.load)

    late = await loader.load(1, timeout_seconds=0.001)
    ledger.unblocked.set()

    assert (late, await loader.load(13), await loader.load_many([2, 13])) == (None, None, {2: "2 is 0"})


async def test_a_load_that_has_no_values_at_all_answers_none_to_every_call() -> None:
    async def load(keys: list[int]) -> None:
        return None

    loader: BatchLoader[int, str] = BatchLoader(load)

    assert list(await asyncio.gather(loader.load(1), loader.load(2))) == [None, None]


def test_one_loader_serves_several_event_loops() -> None:
    async def load(keys: list[int]) -> list[int]:
        return keys

    loader: BatchLoader[int, int] = BatchLoader(load)

    async def call() -> int | None:
        return await loader.load(1)

    assert [asyncio.run(call()) for _ in range(2)] == [1, 1]
