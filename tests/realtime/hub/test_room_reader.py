"""Many members who come back at once are answered by few reads, each member with all that it missed."""

import asyncio
from typing import Any

import pytest

from realtime.hub.log_room import LogRoom
from realtime.hub.room_hub import RoomHub
from tests.realtime.hub.members import Socket, amend, book_shipment, join_request


@pytest.mark.usefixtures("committed")
async def test_two_hundred_reconnects_read_the_log_a_few_times(
    hub: RoomHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, shipment = await book_shipment()
    for pieces in range(1, 31):
        await amend(by, shipment, pieces)
    await hub.join(Socket(), [join_request(shipment)])
    room = next(iter(hub.rooms.values()))
    assert isinstance(room, LogRoom)
    log = room.log
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
