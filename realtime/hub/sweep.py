"""The sweep: every two seconds the heads of all rooms of a hub are compared with the database, in one query.

It heals whatever a lost hint left behind, and detects a changed epoch and a database that cannot be read.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

import structlog

from monitoring import clock
from monitoring.dependencies.threads import run_in_thread
from realtime import metrics
from realtime.access import revocation
from realtime.hub.latest_room import LatestRoom
from realtime.hub.log_room import LogRoom
from realtime.hub.room_reader import RoomReader
from realtime.hub.subscription import Subscription
from realtime.protocol import frames
from realtime.protocol.frames import Json
from shipments import intake, representation
from shipments.selectors import async_reads

INTERVAL_SECONDS: Final = (1.8, 2.2)
INTERVAL_WITHOUT_HINTS_SECONDS: Final = 0.5
# Hints of a bulk write may still be under way, by hundreds: reading what they bring would be wasted.
GRACE_SECONDS: Final = 0.1
# When sweeps have failed for this long, members get a `stale` frame.
STALE_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)
# For what a room reports that was delivered more than the database has: it writes.
_executor: Final = ThreadPoolExecutor(1, thread_name_prefix="history")


class Hub(Protocol):
    """The hub, as its sweep sees it."""

    rooms: dict[str, LogRoom | LatestRoom]
    epoch: str
    reader: RoomReader
    subscription: Subscription

    def fill_if_behind(self, room: LogRoom) -> None: ...
    def end_room(self, room: LogRoom | LatestRoom) -> None: ...


class Sweep:
    """The sweep of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._last_success_at = time.monotonic()
        self._stale_sent = False
        self._adopting: asyncio.Task[None] | None = None

    async def run_forever(self) -> None:
        """Sweep at intervals, shorter ones while hints do not arrive."""
        while True:
            hints_lost = self._hub.subscription.hints_lost
            jittered = random.uniform(*INTERVAL_SECONDS)  # noqa: S311  spreads the processes' queries
            await asyncio.sleep(INTERVAL_WITHOUT_HINTS_SECONDS if hints_lost else jittered)
            # Concurrently: many accounts that change must not delay the rooms.
            await asyncio.gather(self._try_rooms(), self._try_access())

    async def _try_rooms(self) -> None:
        try:
            await self.sweep_rooms()
            self._last_success_at, self._stale_sent = time.monotonic(), False
        except Exception as error:  # noqa: BLE001  the database is away: sockets stay open
            log.warning("sweep failed", error=repr(error))
            self._send_stale()

    async def _try_access(self) -> None:
        try:
            await revocation.sweep()
        except Exception as error:  # noqa: BLE001  the database is away: sockets stay open
            log.warning("access sweep failed", error=repr(error))

    def _send_stale(self) -> None:
        """Send `stale` to every member, once for an outage."""
        seconds = time.monotonic() - self._last_success_at
        if seconds < STALE_SECONDS or self._stale_sent:
            return
        self._stale_sent = True
        frame = frames.stale(since=representation.instant(clock.now() - timedelta(seconds=seconds)) or "")
        for member in {member for room in self._hub.rooms.values() for member in room.members}:
            member.deliver(frame)

    async def sweep_rooms(self) -> None:
        """Compare every room with the database in one query, and fill the rooms that are and stay behind."""
        with metrics.sweep_seconds.time():
            heads = await self._heads()
        if not self._hub.subscription.hints_lost and any(head > room.known_seq for room, head in heads.items()):
            await asyncio.sleep(GRACE_SECONDS)
        for room, head in heads.items():
            room.known_seq = max(room.known_seq, head)
            self._hub.fill_if_behind(room)
        await self._refresh_latest()

    async def _heads(self) -> dict[LogRoom, int]:
        """Return the head of each log room; none after a changed epoch, which sends every room a snapshot."""
        logs = self._log_rooms()
        if not logs and not self._latest_rooms():
            return {}
        delivered = {
            room: room.head for room in logs if room.accepts(self._hub.epoch)
        }  # before the database is read
        epoch, heads = await async_reads.fetch_heads([room.key for room in logs])
        if epoch != self._hub.epoch or not all(room.accepts(epoch) for room in logs):
            await self.adopt_epoch()
            return {}
        if lost := {room.key: head for room, head in delivered.items() if heads.get(room.key, 0) < head}:
            await run_in_thread(_executor, partial(intake.report_lost_heads, epoch, lost))
            await self.adopt_epoch()
            return {}
        return {room: heads.get(room.key, 0) for room in logs}

    def _log_rooms(self) -> list[LogRoom]:
        return [room for room in self._hub.rooms.values() if isinstance(room, LogRoom) and room.members]

    def _latest_rooms(self) -> list[LatestRoom]:
        return [room for room in self._hub.rooms.values() if isinstance(room, LatestRoom) and room.members]

    async def _refresh_latest(self) -> None:
        rooms = self._latest_rooms()
        values = await self._hub.reader.newest(rooms)
        for room in rooms:
            if room.key in values:
                version, value = values[room.key]
                room.update(version, room.source.frame(room.name, value))

    async def adopt_epoch(self) -> None:
        """Read the epoch, and send a snapshot to the members of every room that is of another one.

        Concurrent callers share the attempt. Raise what the database raises; rooms that were not reached are of the
        old epoch still, and the next sweep tries again.
        """
        if self._adopting is None or self._adopting.done():
            self._adopting = asyncio.create_task(self._adopt_epoch(), context=Context())
        await asyncio.shield(self._adopting)

    async def _adopt_epoch(self) -> None:
        epoch = await async_reads.current_epoch()
        latest = []
        if epoch != self._hub.epoch:
            log.warning("another epoch", before=self._hub.epoch, after=epoch)
            self._hub.epoch = epoch
            self._hub.reader.clear()
            latest = self._latest_rooms()
        rooms = [room for room in self._log_rooms() if not room.accepts(epoch)]
        states = await self._hub.reader.states(rooms)
        for room in rooms:
            state = states.get(room)
            if state is None:
                self._hub.end_room(room)
            elif state.epoch == epoch:
                self._send_snapshot(room, state.snapshot)
        await self._send_latest(latest)

    def _send_snapshot(self, room: LogRoom, snapshot: Json) -> None:
        epoch = self._hub.epoch
        room.reset(snapshot, epoch)
        room.known_seq = room.head
        revocation.mark_for_recheck(room.members)
        frame = frames.joined_with_snapshot(
            echo=None, room=room.name.name, epoch=epoch, seq=room.head, reason="epoch", snapshot=snapshot
        )
        for member in tuple(room.members):
            member.deliver(frame)

    async def _send_latest(self, rooms: Sequence[LatestRoom]) -> None:
        values = await self._hub.reader.newest(rooms)
        for room in rooms:
            version, value = values.get(room.key, (-1, None))
            room.reset(version, None if value is None else room.source.frame(room.name, value))
            frame = frames.joined_latest(echo=None, room=room.name.name, value=value, reason="epoch")
            for member in tuple(room.members):
                member.deliver(frame)
