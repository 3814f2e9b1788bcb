"""The sweep: every two seconds all rooms of a hub are compared with the table, in one query.

Whatever was lost on the way is healed here, and here it shows that the database goes on with another history or
cannot be read.
"""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import structlog

from realtime import logins, metrics, protocol
from realtime.latest import LatestRoom
from realtime.reads import Reads
from realtime.room import LogRoom
from realtime.subscription import Subscription
from shipments import representation
from shipments.selectors import live

SECONDS: Final = (1.8, 2.2)
DEAF_SECONDS: Final = 0.5
# For hints on their way, of a bulk by hundreds: to read what they bring would be work for nothing.
GRACE_SECONDS: Final = 0.1
# Sweeps that fail this long are told to the members.
STALE_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class Hub(Protocol):
    """The hub, as its sweep sees it."""

    rooms: dict[str, LogRoom | LatestRoom]
    epoch: str
    reads: Reads
    subscription: Subscription

    def fill_if_behind(self, room: LogRoom) -> None: ...
    def end(self, room: LogRoom | LatestRoom) -> None: ...


class Sweep:
    """One hub's."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._well_at = time.monotonic()
        self._stale = False

    async def run_forever(self) -> None:
        """This will sweep again and again, more often while hints do not come."""
        while True:
            deaf = self._hub.subscription.deaf
            await asyncio.sleep(DEAF_SECONDS if deaf else random.uniform(*SECONDS))  # noqa: S311
            # Side by side: many logins that change must not hold up the rooms.
            await asyncio.gather(self._try_rooms(), self._try_logins())

    async def _try_rooms(self) -> None:
        try:
            await self.rooms()
            self._well_at, self._stale = time.monotonic(), False
        except Exception as error:  # noqa: BLE001  the database is away: sockets stay
            log.warning("sweep failed", error=repr(error))
            self._tell_stale()

    async def _try_logins(self) -> None:
        try:
            await logins.sweep()
        except Exception as error:  # noqa: BLE001  the database is away: sockets stay
            log.warning("logins not swept", error=repr(error))

    def _tell_stale(self) -> None:
        """This will tell everybody, once, that the log cannot be read: what they see may be old."""
        silent = time.monotonic() - self._well_at
        if silent < STALE_SECONDS or self._stale:
            return
        self._stale = True
        frame = protocol.stale(since=representation.instant(datetime.now(UTC) - timedelta(seconds=silent)) or "")
        for member in {member for room in self._hub.rooms.values() for member in room.members}:
            member.deliver(frame)

    async def rooms(self) -> None:
        """This will compare every room with the table, in one query, and fill what is behind and stays so."""
        with metrics.sweep_seconds.time():
            heads = await self._heads()
        if not self._hub.subscription.deaf and any(head > room.wanted for room, head in heads.items()):
            await asyncio.sleep(GRACE_SECONDS)
        for room, head in heads.items():
            room.wanted = max(room.wanted, head)
            self._hub.fill_if_behind(room)
        await self._latest()

    async def _heads(self) -> dict[LogRoom, int]:
        """This will read the newest number of each log; where another history has begun, all is told at once."""
        logs = self._logs()
        if not logs:
            return {}
        epoch, heads = await live.heads([room.key for room in logs])
        if epoch != self._hub.epoch:
            await self._begin_epoch(epoch)
            return {}
        return {room: heads.get(room.key, 0) for room in logs}

    def _logs(self) -> list[LogRoom]:
        return [room for room in self._hub.rooms.values() if isinstance(room, LogRoom) and room.members]

    async def _latest(self) -> None:
        latest = [room for room in self._hub.rooms.values() if isinstance(room, LatestRoom) and room.members]
        shown = await self._hub.reads.newest(latest)
        for room in latest:
            if room.key in shown:
                version, value = shown[room.key]
                room.offer(version, room.latest.frame(room.name, value))

    async def _begin_epoch(self, epoch: str) -> None:
        """This will give every member a snapshot: the numbers belong to another history now."""
        self._hub.epoch = epoch
        self._hub.reads.forget()
        logs = self._logs()
        shown = await self._hub.reads.states(logs)
        for room in logs:
            snapshot = shown.get(room)
            if snapshot is None:
                self._hub.end(room)
                continue
            room.start(snapshot)
            room.wanted = room.head
            logins.doubt(room.members)
            frame = protocol.joined_with_snapshot(
                echo=None, room=room.name.name, epoch=epoch, seq=room.head, reason="epoch", snapshot=snapshot
            )
            for member in tuple(room.members):
                member.deliver(frame)
