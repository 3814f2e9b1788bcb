"""Loads that overlap share reads, and each load sees a state no older than its call."""

import asyncio
from collections.abc import Iterable

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
