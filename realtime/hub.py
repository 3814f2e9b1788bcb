"""The hub: one per process and event loop. It brings every committed event to every member, once, in order.

The log in PostgreSQL is the truth; a hint from Redis only says "look". What a hint does to a room stands in
room.py. A room that is behind is *filled* from the log, by one query for all its members. The *sweep* (sweep.py)
compares all heads with the table every two seconds, and so heals whatever was lost on the way.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import Context
from datetime import datetime
from typing import Any, Final

import orjson
import structlog

from monitoring import tracing
from realtime import logins, metrics, protocol, rooms
from realtime.latest import LatestRoom
from realtime.reads import Reads, Span
from realtime.room import LogRoom, Member, Wish, why_snapshot
from realtime.subscription import Subscription
from realtime.sweep import Sweep
from realtime.writer import Writer
from shipments.selectors import live

FILL_EVENTS: Final = 500
FILLS_AT_ONCE: Final = 4

log = structlog.get_logger(__name__)


class RoomHub:
    """All rooms of this process."""

    def __init__(self) -> None:
        self.rooms: dict[str, LogRoom | LatestRoom] = {}
        self.epoch = ""
        self.subscription = Subscription(lambda message: self.take(message))
        self.reads = Reads()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer = Writer()
        self._starting: asyncio.Task[None] | None = None
        self._fills = asyncio.Semaphore(FILLS_AT_ONCE)
        self._sweep = Sweep(self)

    # -- joining and leaving ----------------------------------------------------------------------------

    async def join(self, member: Member, wishes: Sequence[Wish], *, echo: object = None) -> None:
        """This will let a member into rooms and answer each with the events behind `since` or a snapshot.

        From the answer on, the member is given every event. Raises what the database raises; then the
        member is in none of the rooms that were not answered.
        """
        await self.ready()
        opened = [(self._open(wish), wish) for wish in wishes]
        try:
            empty = {room.name.group for room, _ in opened if not room.members}
            await asyncio.gather(*(self.subscription.listen(group) for group in empty))
            await self._answer_latest(member, opened, echo=echo)
            waiting = [(room, wish) for room, wish in opened if isinstance(room, LogRoom)]
            while waiting:
                waiting = await self._answer(member, waiting, echo=echo)
        finally:
            for room, _ in opened:
                room.joining -= 1
                self._close_if_idle(room)

    async def _answer(
        self, member: Member, waiting: list[tuple[LogRoom, Wish]], *, echo: object
    ) -> list[tuple[LogRoom, Wish]]:
        """This will answer those joins whose reading is not behind their room, and return the others."""
        epoch = self.epoch
        shown = await self.reads.states(room for room, _ in waiting)
        spans = {wish: span for room, wish in waiting if (span := _missed(room, wish, shown.get(room), epoch))}
        missed = await self.reads.spans(spans.values())
        again: list[tuple[LogRoom, Wish]] = []
        sent = 0
        for room, wish in waiting:
            snapshot = shown.get(room)
            if snapshot is None:
                member.deliver(protocol.no_such_room(echo=echo, room=wish.room.name))
                continue
            seq = snapshot["seq"]
            reason = why_snapshot(wish, epoch=epoch, seq=seq, reach=protocol.MAX_REPLAY)
            if seq < room.head or epoch != self.epoch:
                again.append((room, wish))
                continue
            events = missed[spans[wish]] if wish in spans else []
            metrics.replayed.inc(len(events))
            told = {"echo": echo, "room": wish.room.name, "epoch": epoch, "seq": seq}
            frame = protocol.joined_with_events(**told, events=events) if reason is None else b""
            if len(frame) > protocol.MAX_REPLAY_BYTES:
                reason = "too_far"
            if reason is not None:
                frame = protocol.joined_with_snapshot(**told, reason=reason, snapshot=snapshot)
            member.deliver(frame)
            if not member.closed:
                room.admit(member, snapshot)
                self.fill_if_behind(room)
            sent += len(frame)
            if sent > protocol.MAX_REPLAY_BYTES:
                # What is told at once must not look like a reader that has stopped. Those who still wait may have
                # been overtaken meanwhile: then they are read again.
                await member.free()
                sent = 0
        return again

    async def _answer_latest(
        self, member: Member, opened: Iterable[tuple[LogRoom | LatestRoom, Wish]], *, echo: object
    ) -> None:
        latest = [room for room, _ in opened if isinstance(room, LatestRoom)]
        shown = await self.reads.newest(latest)
        for room in latest:
            version, value = shown.get(room.key, (-1, None))
            member.deliver(protocol.joined_latest(echo=echo, room=room.name.name, value=value))
            if value is not None:
                room.offer(version, room.latest.frame(room.name, value))
            if not member.closed:
                room.admit(member, version)

    def leave(self, member: Member, group: str) -> bool:
        """This will end a membership, and say whether there was one."""
        room = self.rooms.get(group)
        if room is None or not room.discard(member):
            return False
        self._close_if_idle(room)
        return True

    def _open(self, wish: Wish) -> LogRoom | LatestRoom:
        name = wish.room
        room = self.rooms.get(name.group)
        if room is None:
            kind = rooms.kind(name.kind)
            if kind.log:
                room = LogRoom(name, kind.log)
            else:
                assert kind.latest  # noqa: S101  a kind has the one or the other
                room = LatestRoom(name, kind.latest)
            self.rooms[name.group] = room
        room.joining += 1
        return room

    def _close_if_idle(self, room: LogRoom | LatestRoom) -> None:
        if room.idle and self.rooms.get(room.name.group) is room:
            del self.rooms[room.name.group]
            self._spawn(self._forget(room.name.group))

    async def _forget(self, group: str) -> None:
        if group not in self.rooms:  # else somebody came back meanwhile
            await self.subscription.forget(group)

    # -- delivering -------------------------------------------------------------------------------------

    def take(self, message: dict[str, Any]) -> None:
        """This will act on one message from the channel layer."""
        if message["type"] == "control":
            logins.control(message)
            return
        room = self.rooms.get(message["group"])
        if room is None:
            return
        if isinstance(room, LatestRoom):
            room.offer(message["version"], message["frame"])
        elif message["epoch"] == self.epoch:  # a foreign epoch is for the sweep to find out
            # Who loses the room by this event must be out before it is told: it is read by a fill.
            wait = message.get("reassigns") and logins.bound_among(room.members)
            if room.hint(message["seq"], None if wait else message.get("frame")):
                self._writer.later(room, message["at"])
                tracing.passed("deliver", message.get("trace"), since=message["at"])
                if message["ends"]:
                    self.end(room)
            self.fill_if_behind(room)

    def end(self, room: LogRoom | LatestRoom) -> None:
        """This will tell the members that what the room is about is gone, and let them go."""
        for member in room.end():
            member.deliver(protocol.left(room=room.name.name, reason="deleted"))
        self._close_if_idle(room)

    def fill_if_behind(self, room: LogRoom) -> None:
        """This will begin to read the log where the room's members wait for something that it has."""
        if room.behind and not room.filling:
            room.filling = True
            self._spawn(self._fill(room))

    async def _fill(self, room: LogRoom) -> None:
        """This will read the log from the head on until the room is no longer behind."""
        try:
            while room.behind:
                async with self._fills:
                    events = await room.log.events(room.key, room.head, limit=FILL_EVENTS)
                if not events:
                    room.drop_promise()
                for event in events:
                    if protocol.reassigns(event):
                        await logins.reassigned(room.members)
                    if not room.members or not room.take(event, self.epoch, _summary):
                        continue
                    # The feed's hints bring no frame, and it has a lag of its own.
                    if room.name.name == rooms.FEED:
                        self._writer.later(room)
                    else:
                        metrics.healed.inc()
                        self._writer.later(room, datetime.fromisoformat(event["recordedAt"]).timestamp())
                    if event["type"] == "deleted":
                        self.end(room)
        except Exception as error:  # noqa: BLE001  the database is away: the next sweep starts another fill
            log.warning("fill failed", room=room.name.group, error=repr(error))
        finally:
            room.filling = False

    # -- running ----------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """This will start the hub at its first use; a start that failed is tried again by the next."""
        if self.running:
            return
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(), context=Context())
        await asyncio.shield(self._starting)

    @property
    def running(self) -> bool:
        """Whether it has been started."""
        starting = self._starting
        return bool(starting and starting.done() and not starting.cancelled() and not starting.exception())

    async def _start(self) -> None:
        self.epoch = await live.epoch()
        await self.subscription.open()
        self._spawn(self.subscription.watch_forever())
        self._spawn(self._sweep.run_forever())

    async def sweep(self) -> None:
        """This will compare every room with the table now."""
        await self._sweep.rooms()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        # In nobody's context: it is not done for the request or socket that happened to cause it.
        task: asyncio.Task[None] = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """This will end the hub's tasks."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.subscription.close()


def _missed(room: LogRoom, wish: Wish, snapshot: dict[str, Any] | None, epoch: str) -> Span | None:
    """This will return the events that a resumed join is owed, None where there are none or it gets a snapshot."""
    if snapshot is None or why_snapshot(wish, epoch=epoch, seq=snapshot["seq"], reach=protocol.MAX_REPLAY):
        return None
    return Span(room, wish.since or 0, snapshot["seq"]) if (wish.since or 0) < snapshot["seq"] else None


def _summary(frame: bytes) -> dict[str, Any]:
    """This will read the summary out of a frame."""
    summary: dict[str, Any] = orjson.loads(frame)["shipment"]
    return summary


_hubs: dict[asyncio.AbstractEventLoop, RoomHub] = {}


def current() -> RoomHub:
    """This will return the hub of this process and event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = RoomHub()
    return _hubs[loop]


def everyone() -> list[RoomHub]:
    """This will return the hubs of all event loops of this process."""
    return list(_hubs.values())
