"""Many who come back at once are answered by few reads, each of them with all that it missed."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from monitoring.dependencies.batching import LINGER_BATCH_SIZE, LINGER_SECONDS, BatchLoader
from tests.realtime.hub.test_room_hub import Socket, amend, booked, hub, join_request

__all__ = ["hub"]
ODD = {1: "one", 3: "three"}


class Backend:
    """Something that is read: it notes every read, and waits until it may answer."""

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


async def test_who_asks_during_a_read_is_answered_by_the_next() -> None:
    backend = Backend()
    loader = BatchLoader(backend.read)
    early = [asyncio.create_task(loader.load_many([number])) for number in (1, 3)]
    for _ in range(3):
        await asyncio.sleep(0)
    # Both turns are taken one after the other; these wait for the next.
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


async def test_a_crowd_is_waited_for_a_moment_and_one_alone_is_not() -> None:
    backend = Backend()
    backend.unblocked.set()
    loader = BatchLoader(backend.read)
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


async def test_a_read_that_fails_is_told_to_those_it_was_for() -> None:
    backend = Backend()
    backend.unblocked.set()
    loader = BatchLoader(backend.read)

    results = await asyncio.gather(loader.load_many([13]), loader.load_many([1]), return_exceptions=True)

    assert [type(each) for each in results] == [OSError, OSError]
    assert await loader.load_many([1]) == {1: "one"}


async def test_one_who_goes_away_leaves_the_others_their_answer() -> None:
    backend = Backend()
    loader = BatchLoader(backend.read)
    cancelled, stays = (asyncio.create_task(loader.load_many([1])) for _ in range(2))
    await asyncio.sleep(0)

    cancelled.cancel()
    backend.unblocked.set()

    assert await stays == {1: "one"}


@pytest.mark.usefixtures("committed")
async def test_two_hundred_who_come_back_read_the_log_a_few_times(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await booked()
    for pieces in range(1, 31):
        await amend(by, shipment, pieces)
    await hub.join(Socket(), [join_request(shipment)])
    log = next(iter(hub.rooms.values())).log
    reads, events = [], log.events

    async def counted(*args: Any, **kwargs: Any) -> Any:
        reads.append(args)
        return await events(*args, **kwargs)

    monkeypatch.setattr(log, "events", counted)
    sockets = [Socket() for _ in range(200)]

    await asyncio.gather(
        *(
            hub.join(socket, [join_request(shipment, since=1 + number % 20)])
            for number, socket in enumerate(sockets)
        )
    )

    assert [socket.seqs for socket in sockets] == [list(range(2 + number % 20, 32)) for number in range(200)]
    assert len(reads) < 10
