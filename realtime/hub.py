"""The hub: one per process and event loop. It brings every committed event to every member, once, in order.

The log in PostgreSQL is the truth; a hint from Redis only says "look". Of each room the hub knows

    head     the newest seq that its members have been given
    wanted   the newest seq that is known to exist

and keeps one rule: a frame is delivered iff its seq is head + 1. A hint with the next frame is delivered at
once; anything newer starts a *fill*, which reads the log from the head on; anything older is dropped. The
*sweep* compares all heads with the table every two seconds and so heals whatever was lost on the way.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog
from channels.layers import get_channel_layer

from realtime import protocol
from realtime.room import Member, Room, Wish, answer_frame, missing, why_snapshot
from shipments.selectors import live

SWEEP_SECONDS: Final = (1.8, 2.2)
FILL_EVENTS: Final = 500
FILLS_AT_ONCE: Final = 4
SUBSCRIBE_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class RoomHub:
    """All rooms of this process."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.epoch = ""
        self._layer = get_channel_layer()
        self._channel = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[None] | None = None
        self._fills = asyncio.Semaphore(FILLS_AT_ONCE)

    # -- joining and leaving ----------------------------------------------------------------------------

    async def join(self, member: Member, wishes: Sequence[Wish], *, echo: object = None) -> None:
        """This will let a member into rooms and answer each with the events behind `since` or a snapshot.

        From the answer on, the member is given every event. Raises what the database raises; then the
        member is in none of the rooms that were not answered.
        """
        await self._ready()
        rooms = [self._open(wish) for wish in wishes]
        try:
            await asyncio.gather(*(self._subscribe(room) for room in rooms if not room.members))
            waiting = list(zip(rooms, wishes, strict=True))
            while waiting:
                waiting = await self._answer(member, waiting, echo=echo)
        finally:
            for room in rooms:
                room.joining -= 1
                self._close_if_idle(room)

    async def _answer(
        self, member: Member, waiting: list[tuple[Room, Wish]], *, echo: object
    ) -> list[tuple[Room, Wish]]:
        """This will answer those joins whose reading is not behind their room, and return the others."""
        epoch = self.epoch
        shown = await live.snapshots(room.shipment_id for room, _ in waiting)
        again: list[tuple[Room, Wish]] = []
        for room, wish in waiting:
            snapshot = shown.get(room.shipment_id)
            if snapshot is None:
                member.deliver(missing(wish, echo))
                continue
            reason = why_snapshot(wish, epoch=epoch, seq=snapshot["seq"])
            events = [] if reason else await live.events_between(room.shipment_id, wish.since or 0, snapshot["seq"])
            if snapshot["seq"] < room.head or epoch != self.epoch:
                again.append((room, wish))
                continue
            member.deliver(
                answer_frame(wish, epoch=epoch, snapshot=snapshot, reason=reason, events=events, echo=echo)
            )
            self._admit(member, room, snapshot)
        return again

    def _admit(self, member: Member, room: Room, snapshot: dict[str, Any]) -> None:
        seq = snapshot["seq"]
        if member.closed:
            return
        if not room.members:
            room.start_from(snapshot)
        room.members.add(member)
        room.ahead.pop(member, None)
        if seq > room.head:
            room.ahead[member] = seq
        room.wanted = max(room.wanted, seq)
        self._fill_if_behind(room)

    def leave(self, member: Member, group: str) -> bool:
        """This will end a membership, and say whether there was one."""
        room = self.rooms.get(group)
        if room is None or member not in room.members:
            return False
        room.members.discard(member)
        room.ahead.pop(member, None)
        self._close_if_idle(room)
        return True

    def _open(self, wish: Wish) -> Room:
        room = self.rooms.get(wish.group)
        if room is None:
            room = self.rooms[wish.group] = Room(wish.group, wish.name, wish.reference, wish.shipment_id)
        room.joining += 1
        return room

    async def _subscribe(self, room: Room) -> None:
        """This will ask for the room's hints before its log is read; without Redis the sweep serves."""
        try:
            await asyncio.wait_for(self._layer.group_add(room.group, self._channel), SUBSCRIBE_SECONDS)
        except Exception as error:  # noqa: BLE001  a subscription is only a hint's way in
            log.warning("room not subscribed", room=room.group, error=repr(error))

    def _close_if_idle(self, room: Room) -> None:
        if room.idle and self.rooms.get(room.group) is room:
            del self.rooms[room.group]
            self._spawn(self._unsubscribe(room))

    async def _unsubscribe(self, room: Room) -> None:
        if room.group in self.rooms:
            return  # somebody came back meanwhile
        try:
            await asyncio.wait_for(self._layer.group_discard(room.group, self._channel), SUBSCRIBE_SECONDS)
        except Exception as error:  # noqa: BLE001  a hint for a room that is not there is dropped
            log.debug("room not unsubscribed", room=room.group, error=repr(error))

    # -- delivering -------------------------------------------------------------------------------------

    def hint(self, message: dict[str, Any]) -> None:
        """This will take one hint: deliver the next frame, note a newer one, drop an old one."""
        room = self.rooms.get(message["group"])
        if room is None or message["epoch"] != self.epoch:
            return  # a foreign epoch is for the sweep to find out
        seq, frame = message["seq"], message.get("frame")
        room.wanted = max(room.wanted, seq)
        if room.members and frame is not None and room.filling is None and seq == room.head + 1:
            self._deliver(room, seq, frame, ends=message["ends"])
        self._fill_if_behind(room)

    def _deliver(self, room: Room, seq: int, frame: bytes, *, ends: bool) -> None:
        """This will give the frame with seq head + 1 to every member that has not had it.

        `ends`: the shipment is gone with this event, and so is the room.
        """
        room.head, room.newest = seq, frame
        ahead = room.ahead
        for member in tuple(room.members):
            if ahead and ahead.get(member, 0) >= seq:
                if ahead[member] == seq:
                    del ahead[member]
                continue
            member.deliver(frame)
        if ends:
            self._end(room)

    def _end(self, room: Room) -> None:
        """This will tell the members that the shipment is gone, and let them go."""
        members = tuple(room.members)
        room.members.clear()
        room.ahead.clear()
        for member in members:
            member.deliver(protocol.left(room=room.name, reason="deleted"))
        self._close_if_idle(room)

    def _fill_if_behind(self, room: Room) -> None:
        if room.members and room.wanted > room.head and room.filling is None:
            room.filling = self._spawn(self._fill(room))

    async def _fill(self, room: Room) -> None:
        """This will read the log from the head on until nothing is wanted any more."""
        try:
            while room.members and room.wanted > room.head:
                async with self._fills:
                    events = await live.events_after(room.shipment_id, room.head, limit=FILL_EVENTS)
                if not events:
                    room.wanted = room.head  # promised by a hint, unknown to the log: the sweep knows better
                for event in events:
                    if event["seq"] == room.head + 1 and room.members:
                        self._deliver_filled(room, event)
        except Exception as error:  # noqa: BLE001  the database is away: the next sweep starts another fill
            log.warning("fill failed", room=room.group, error=repr(error))
        finally:
            room.filling = None

    def _deliver_filled(self, room: Room, event: dict[str, Any]) -> None:
        if room.newest is not None:
            room.summary = orjson.loads(room.newest)["shipment"]
        room.summary = protocol.fold_summary(room.summary, event)
        frame = protocol.update(
            room=room.name, reference=room.reference, epoch=self.epoch, event=event, shipment=room.summary
        )
        self._deliver(room, event["seq"], frame, ends=event["type"] == "deleted")

    # -- running ----------------------------------------------------------------------------------------

    async def _ready(self) -> None:
        """This will start the hub at its first join; a start that failed is tried again by the next."""
        if self._starting is None or (self._starting.done() and self._starting.exception()):
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self.epoch = await live.epoch()
        self._channel = await self._layer.new_channel()
        self._spawn(self._receive_forever())
        self._spawn(self._sweep_forever())

    async def _receive_forever(self) -> None:
        while True:
            try:
                self.hint(await self._layer.receive(self._channel))
            except Exception as error:  # noqa: BLE001  one bad message must not deafen the process
                log.warning("hint not received", error=repr(error))
                await asyncio.sleep(0.2)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(*SWEEP_SECONDS))  # noqa: S311  spreads the processes
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001  the database is away: sockets stay
                log.warning("sweep failed", error=repr(error))

    async def sweep(self) -> None:
        """This will compare every room's head with the table, in one query, and fill what is behind."""
        rooms = [room for room in self.rooms.values() if room.members]
        if not rooms:
            return
        epoch, heads = await live.heads(room.shipment_id for room in rooms)
        if epoch != self.epoch:
            await self._begin_epoch(epoch)
            return
        for room in rooms:
            room.wanted = max(room.wanted, heads.get(room.shipment_id, 0))
            self._fill_if_behind(room)

    async def _begin_epoch(self, epoch: str) -> None:
        """This will give every member a snapshot: the numbers belong to another history now."""
        self.epoch = epoch
        rooms = [room for room in self.rooms.values() if room.members]
        shown = await live.snapshots(room.shipment_id for room in rooms)
        for room in rooms:
            snapshot = shown.get(room.shipment_id)
            if snapshot is None:
                self._end(room)
                continue
            room.start_from(snapshot)
            frame = protocol.joined_with_snapshot(
                echo=None, room=room.name, epoch=epoch, seq=room.head, reason="epoch", snapshot=snapshot
            )
            for member in tuple(room.members):
                member.deliver(frame)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """This will end the hub's tasks."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
