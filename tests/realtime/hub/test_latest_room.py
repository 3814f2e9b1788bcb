"""Rooms without a history: the newest value wins, and what comes too fast is conflated."""

import asyncio
from typing import Any

import pytest

from realtime.hub.latest_room import MIN_INTERVAL_SECONDS, LatestRoom
from realtime.protocol.room_names import RoomName
from shipments.domain.identifiers import new_id

NAME = RoomName("driver", new_id(), "driver:x", "driver.x")


class Listener:
    direct_sender = None

    def __init__(self) -> None:
        self.closed = False
        self.frames: list[bytes] = []

    def deliver(self, frame: bytes) -> None:
        self.frames.append(frame)


@pytest.fixture
def room() -> LatestRoom:
    nothing: Any = None
    return LatestRoom(NAME, nothing)


async def test_the_first_value_is_given_at_once_and_a_burst_ends_with_its_newest(room: LatestRoom) -> None:
    listener = Listener()
    room.admit(listener, -1)

    for version in range(1, 100):
        room.update(version, b"%d" % version)
    await asyncio.sleep(MIN_INTERVAL_SECONDS * 2)

    assert listener.frames == [b"1", b"99"]


async def test_an_older_or_equal_value_is_dropped(room: LatestRoom) -> None:
    listener = Listener()
    room.admit(listener, -1)
    room.update(5, b"five")

    room.update(5, b"again")
    room.update(4, b"four")
    await asyncio.sleep(MIN_INTERVAL_SECONDS * 2)

    assert listener.frames == [b"five"]


async def test_what_came_while_somebody_joined_follows_the_answer(room: LatestRoom) -> None:
    room.joining += 1
    room.update(7, b"seven")
    listener = Listener()

    room.admit(listener, 6)

    assert listener.frames == [b"seven"]


async def test_nobody_is_given_anything_after_leaving(room: LatestRoom) -> None:
    listener = Listener()
    room.admit(listener, -1)
    room.update(1, b"one")
    room.update(2, b"two")

    assert room.discard(listener) is True
    await asyncio.sleep(MIN_INTERVAL_SECONDS * 2)

    assert listener.frames == [b"one"]
    assert not room.members
