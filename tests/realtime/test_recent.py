"""Each event is read once for all who come back, as long as the log is the same and says what it was asked for."""

import asyncio
import uuid
from typing import Any

import pytest

from realtime.recent import Recent
from realtime.room import LogRoom
from realtime.rooms import RoomName


class Book:
    """A log of as many events as it has `pages`; it notes what was read."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.reads: list[tuple[int, int]] = []

    async def events(self, _: uuid.UUID, after: int, *, upto: int, limit: int) -> list[dict[str, Any]]:
        self.reads.append((after, upto))
        await asyncio.sleep(0)
        assert limit == upto - after
        return [{"seq": seq} for seq in range(after + 1, min(upto, self.pages) + 1)]

    def number(self, event: dict[str, Any]) -> int:
        return int(event["seq"])


@pytest.fixture
def book() -> Book:
    return Book(30)


@pytest.fixture
def room(book: Book) -> LogRoom:
    return LogRoom(RoomName("shipment", "SHIP-1", "shipment.1", uuid.uuid4()), book)  # type: ignore[arg-type]


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events]


async def test_who_missed_the_same_or_less_is_told_without_a_read(book: Book, room: LogRoom) -> None:
    recent = Recent()

    told = [await recent.events(room, after, 30) for after in (10, 10, 20, 29)]

    assert [seqs(each) for each in told] == [list(range(after, 31)) for after in (11, 11, 21, 30)]
    assert book.reads == [(10, 30)]


async def test_all_who_ask_at_once_wait_for_one_read(book: Book, room: LogRoom) -> None:
    recent = Recent()

    told = await asyncio.gather(*(recent.events(room, 5, 30) for _ in range(20)))

    assert all(seqs(each) == list(range(6, 31)) for each in told)
    assert book.reads == [(5, 30)]


async def test_only_what_came_since_is_read(book: Book, room: LogRoom) -> None:
    recent = Recent()

    await recent.events(room, 10, 20)
    told = await recent.events(room, 15, 30)

    assert seqs(told) == list(range(16, 31))
    assert book.reads == [(10, 20), (20, 30)]


async def test_who_missed_more_has_it_read_for_the_others_too(book: Book, room: LogRoom) -> None:
    recent = Recent()

    for after in (20, 3, 20):
        assert seqs(await recent.events(room, after, 30)) == list(range(after + 1, 31))

    assert book.reads == [(20, 30), (3, 30)]


async def test_another_history_is_read_anew(book: Book, room: LogRoom) -> None:
    recent = Recent()
    await recent.events(room, 10, 30)

    recent.forget()
    await recent.events(room, 10, 30)

    assert book.reads == [(10, 30)] * 2


async def test_a_read_that_brought_less_is_not_built_upon(book: Book, room: LogRoom) -> None:
    recent = Recent()

    short = await recent.events(room, 28, 32)
    book.pages = 32
    whole = await recent.events(room, 28, 32)

    assert (seqs(short), seqs(whole)) == ([29, 30], [29, 30, 31, 32])
