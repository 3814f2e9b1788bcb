"""Rooms without a history: the newest value wins, and fast values are conflated."""

import asyncio
from typing import Any

import pytest

from realtime.hub.delivery import DirectSender
from realtime.hub.latest_room import MIN_INTERVAL_SECONDS, LatestRoom
from realtime.protocol.room_names import RoomName
from shipments.domain.identifiers import new_id

NAME = RoomName("driver", new_id(), "driver:x", "driver.x")


class RecordingMember:
    """Records its frames."""

    direct_sender: DirectSender | None = None

    def __init__(self) -> None:
        self.closed = False
        self.frames: list[bytes] = []

    def deliver(self, frame: bytes) -> None:
        self.frames.append(frame)

    async def drain(self) -> None:
        """Return at once: nothing is buffered."""


@pytest.fixture
def room() -> LatestRoom:
    nothing: Any = None
    return LatestRoom(NAME, nothing)


async def test_the_first_value_is_sent_at_once_and_a_burst_ends_with_its_newest(room: LatestRoom) -> None:
    member = RecordingMember()
    room.admit(member, -1)

    for version in range(1, 100):
        room.update(version, b"%d" % version)
    await asyncio.sleep(MIN_INTERVAL_SECONDS * 2)

    assert member.frames == [b"1", b"99"]


async def test_an_older_or_equal_value_is_dropped(room: LatestRoom) -> None:
    member = RecordingMember()
    room.admit(member, -1)
    room.update(5, b"five")

    room.update(5, b"again")
    room.update(4, b"four")
    await asyncio.sleep(MIN_INTERVAL_SECONDS * 2)

    assert member.frames == [b"five"]


async def test_a_value_that_arrived_during_a_join_follows_the_answer(room: LatestRoom) -> None:
    room.joining += 1
    room.update(7, b"seven")
    member = RecordingMember()

    room.admit(member, 6)

    assert member.frames == [b"seven"]


async def test_a_member_that_left_gets_nothing_more(room: LatestRoom) -> None:
    member = RecordingMember()
    room.admit(member, -1)
    room.update(1, b"one")
    room.update(2, b"two")

    assert room.discard(member) is True
    await asyncio.sleep(MIN_INTERVAL_SECONDS * 2)

    assert member.frames == [b"one"]
    assert not room.members
