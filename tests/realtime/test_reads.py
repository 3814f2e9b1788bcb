"""Many who come back at once are answered by few reads, each of them with all that it missed."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from realtime.gather import CROWD, CROWD_SECONDS, Gathered
from tests.realtime.test_hub import Socket, amend, booked, hub, wish

__all__ = ["hub"]
ODD = {1: "one", 3: "three"}


class Shelf:
    """Something that is read: it notes every read, and waits until it may answer."""

    def __init__(self) -> None:
        self.reads: list[set[int]] = []
        self.open = asyncio.Event()

    async def read(self, asked: Iterable[int]) -> dict[int, str]:
        wanted = set(asked)
        self.reads.append(wanted)
        await self.open.wait()
        if 13 in wanted:
            raise OSError("away")
        return {each: ODD[each] for each in wanted if each in ODD}


async def test_who_asks_during_a_read_is_answered_by_the_next() -> None:
    shelf = Shelf()
    gathered = Gathered(shelf.read)
    early = [asyncio.create_task(gathered.ask([number])) for number in (1, 3)]
    for _ in range(3):
        await asyncio.sleep(0)
    # Both turns are taken one after the other; these wait for the next.
    second = asyncio.create_task(gathered.ask([3]))
    for _ in range(3):
        await asyncio.sleep(0)
    late = [asyncio.create_task(gathered.ask([number, 2])) for number in (1, 3, 3, 1)]
    for _ in range(3):
        await asyncio.sleep(0)
    shelf.open.set()

    assert await asyncio.gather(*early) == [{1: "one"}, {3: "three"}]
    assert await second == {3: "three"}
    assert await asyncio.gather(*late) == [{1: "one"}, {3: "three"}, {3: "three"}, {1: "one"}]
    assert shelf.reads == [{1, 3}, {3}, {1, 2, 3}]


async def test_a_crowd_is_waited_for_a_moment_and_one_alone_is_not() -> None:
    shelf = Shelf()
    shelf.open.set()
    gathered = Gathered(shelf.read)
    await gathered.ask(range(CROWD))

    first = asyncio.create_task(gathered.ask([1]))
    await asyncio.sleep(CROWD_SECONDS / 3)
    await gathered.ask([3])
    await first
    alone = asyncio.create_task(gathered.ask([1]))
    for _ in range(3):
        await asyncio.sleep(0)

    assert shelf.reads == [set(range(CROWD)), {1, 3}, {1}]
    assert await alone == {1: "one"}


async def test_a_read_that_fails_is_told_to_those_it_was_for() -> None:
    shelf = Shelf()
    shelf.open.set()
    gathered = Gathered(shelf.read)

    found = await asyncio.gather(gathered.ask([13]), gathered.ask([1]), return_exceptions=True)

    assert [type(each) for each in found] == [OSError, OSError]
    assert await gathered.ask([1]) == {1: "one"}


async def test_one_who_goes_away_leaves_the_others_their_answer() -> None:
    shelf = Shelf()
    gathered = Gathered(shelf.read)
    gone, stays = (asyncio.create_task(gathered.ask([1])) for _ in range(2))
    await asyncio.sleep(0)

    gone.cancel()
    shelf.open.set()

    assert await stays == {1: "one"}


@pytest.mark.usefixtures("committed")
async def test_two_hundred_who_come_back_read_the_log_a_few_times(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await booked()
    for pieces in range(1, 31):
        await amend(by, shipment, pieces)
    await hub.join(Socket(), [wish(shipment)])
    log = next(iter(hub.rooms.values())).log
    reads, events = [], log.events

    async def counted(*args: Any, **kwargs: Any) -> Any:
        reads.append(args)
        return await events(*args, **kwargs)

    monkeypatch.setattr(log, "events", counted)
    sockets = [Socket() for _ in range(200)]

    await asyncio.gather(
        *(hub.join(socket, [wish(shipment, since=1 + number % 20)]) for number, socket in enumerate(sockets))
    )

    assert [socket.seqs for socket in sockets] == [list(range(2 + number % 20, 32)) for number in range(200)]
    assert len(reads) < 10
