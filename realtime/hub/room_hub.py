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

from monitoring.tracing import trace_context
from realtime import metrics
from realtime.access import revocation
from realtime.hub import room_registry
from realtime.hub.flush import RoomFlusher
from realtime.hub.latest_room import LatestRoom
from realtime.hub.log_room import JoinRequest, LogRoom, Member, snapshot_reason
from realtime.hub.room_reader import MissingRange, RoomReader
from realtime.hub.subscription import Subscription
from realtime.hub.sweep import Sweep
from realtime.protocol import frames, room_names
from shipments.selectors import async_reads

FILL_EVENTS: Final = 500
FILLS_AT_ONCE: Final = 4

log = structlog.get_logger(__name__)


class RoomHub:
    """All rooms of this process."""

    def __init__(self) -> None:
        self.rooms: dict[str, LogRoom | LatestRoom] = {}
        self.epoch = ""
        self.subscription = Subscription(lambda message: self.handle_message(message))
        self.reader = RoomReader()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flusher = RoomFlusher()
        self._start_task: asyncio.Task[None] | None = None
        self._fill_slots = asyncio.Semaphore(FILLS_AT_ONCE)
        self._sweep = Sweep(self)

    # -- joining and leaving ----------------------------------------------------------------------------

    async def join(self, member: Member, requests: Sequence[JoinRequest], *, echo: object = None) -> None:
        """Let a member into rooms and answer each with the events behind `since` or a snapshot.

        From the answer on, the member is given every event. Raises what the database raises; then the
        member is in none of the rooms that were not answered.
        """
        await self.ensure_started()
        joins = [(self._open(wish), wish) for wish in requests]
        try:
            empty_groups = {room.name.group for room, _ in joins if not room.members}
            await asyncio.gather(*(self.subscription.subscribe(group) for group in empty_groups))
            await self._answer_latest(member, joins, echo=echo)
            unanswered = [(room, wish) for room, wish in joins if isinstance(room, LogRoom)]
            while unanswered:
                unanswered = await self._answer(member, unanswered, echo=echo)
        finally:
            for room, _ in joins:
                room.joining -= 1
                self._close_if_idle(room)

    async def _answer(
        self, member: Member, unanswered: list[tuple[LogRoom, JoinRequest]], *, echo: object
    ) -> list[tuple[LogRoom, JoinRequest]]:
        """Answer those joins whose reading is not behind their room, and return the others."""
        epoch = self.epoch
        snapshots = await self.reader.snapshots(room for room, _ in unanswered)
        missing = {
            wish: span
            for room, wish in unanswered
            if (span := _missing_range(room, wish, snapshots.get(room), epoch))
        }
        replays = await self.reader.events(missing.values())
        overtaken: list[tuple[LogRoom, JoinRequest]] = []
        sent_bytes = 0
        for room, wish in unanswered:
            snapshot = snapshots.get(room)
            if snapshot is None:
                member.deliver(frames.no_such_room(echo=echo, room=wish.room.name))
                continue
            seq = snapshot["seq"]
            reason = snapshot_reason(wish, epoch=epoch, seq=seq, max_replay=frames.MAX_REPLAY)
            if seq < room.head or epoch != self.epoch:
                overtaken.append((room, wish))
                continue
            events = replays[missing[wish]] if wish in missing else []
            metrics.replayed_events.inc(len(events))
            reply_fields = {"echo": echo, "room": wish.room.name, "epoch": epoch, "seq": seq}
            frame = frames.joined_with_events(**reply_fields, events=events) if reason is None else b""
            if len(frame) > frames.MAX_REPLAY_BYTES:
                reason = "too_far"
            if reason is not None:
                frame = frames.joined_with_snapshot(**reply_fields, reason=reason, snapshot=snapshot)
            member.deliver(frame)
            if not member.closed:
                room.admit(member, snapshot)
                self.fill_if_behind(room)
            sent_bytes += len(frame)
            if sent_bytes > frames.MAX_REPLAY_BYTES:
                # What is told at once must not look like a reader that has stopped. Those who still wait may have
                # been overtaken meanwhile: then they are read again.
                await member.drain()
                sent_bytes = 0
        return overtaken

    async def _answer_latest(
        self, member: Member, joins: Iterable[tuple[LogRoom | LatestRoom, JoinRequest]], *, echo: object
    ) -> None:
        latest = [room for room, _ in joins if isinstance(room, LatestRoom)]
        values = await self.reader.newest(latest)
        for room in latest:
            version, value = values.get(room.key, (-1, None))
            member.deliver(frames.joined_latest(echo=echo, room=room.name.name, value=value))
            if value is not None:
                room.update(version, room.source.frame(room.name, value))
            if not member.closed:
                room.admit(member, version)

    def leave(self, member: Member, group: str) -> bool:
        """End a membership, and say whether there was one."""
        room = self.rooms.get(group)
        if room is None or not room.discard(member):
            return False
        self._close_if_idle(room)
        return True

    def _open(self, request: JoinRequest) -> LogRoom | LatestRoom:
        name = request.room
        room = self.rooms.get(name.group)
        if room is None:
            room_type = room_registry.room_type(name.type_name)
            if room_type.log:
                room = LogRoom(name, room_type.log)
            else:
                assert room_type.latest
                room = LatestRoom(name, room_type.latest)
            self.rooms[name.group] = room
        room.joining += 1
        return room

    def _close_if_idle(self, room: LogRoom | LatestRoom) -> None:
        if room.idle and self.rooms.get(room.name.group) is room:
            del self.rooms[room.name.group]
            self._spawn(self._unsubscribe(room.name.group))

    async def _unsubscribe(self, group: str) -> None:
        if group not in self.rooms:  # else somebody came back meanwhile
            await self.subscription.unsubscribe(group)

    # -- delivering -------------------------------------------------------------------------------------

    def handle_message(self, message: dict[str, Any]) -> None:
        """Act on one message from the channel layer."""
        if message["type"] == "control":
            revocation.handle_control(message)
            return
        room = self.rooms.get(message["group"])
        if room is None:
            return
        if isinstance(room, LatestRoom):
            room.update(message["version"], message["frame"])
        elif message["epoch"] == self.epoch:  # a foreign epoch is for the sweep to find out
            # Who loses the room by this event must be out before it is told: it is read by a fill.
            restricted = message.get("reassigns") and revocation.restricted_principals(room.members)
            if room.apply_hint(message["seq"], None if restricted else message.get("frame")):
                self._flusher.schedule(room, message["at"])
                trace_context.record_delivery("deliver", message.get("trace"), sent_at=message["at"])
                if message["ends"]:
                    self.end_room(room)
            self.fill_if_behind(room)

    def end_room(self, room: LogRoom | LatestRoom) -> None:
        """Tell the members that what the room is about is gone, and let them go."""
        for member in room.remove_all():
            member.deliver(frames.room_left(room=room.name.name, reason="deleted"))
        self._close_if_idle(room)

    def fill_if_behind(self, room: LogRoom) -> None:
        """Begin to read the log where the room's members wait for something that it has."""
        if room.behind and not room.filling:
            room.filling = True
            self._spawn(self._fill(room))

    async def _fill(self, room: LogRoom) -> None:
        """Read the log from the head on until the room is no longer behind."""
        try:
            while room.behind:
                async with self._fill_slots:
                    events = await room.log.events(room.key, room.head, limit=FILL_EVENTS)
                if not events:
                    room.forget_unlogged_seq()
                for event in events:
                    if frames.is_reassignment(event):
                        await revocation.recheck_restricted(room.members)
                    if not room.members or not room.apply_event(event, self.epoch, _summary_of):
                        continue
                    # The feed's hints bring no frame, and it has a lag of its own.
                    if room.name.name == room_names.FEED:
                        self._flusher.schedule(room)
                    else:
                        metrics.healed_events.inc()
                        self._flusher.schedule(room, datetime.fromisoformat(event["recordedAt"]).timestamp())
                    if event["type"] == "deleted":
                        self.end_room(room)
        except Exception as error:
            log.warning("fill failed", room=room.name.group, error=repr(error))
        finally:
            room.filling = False

    # -- running ----------------------------------------------------------------------------------------

    async def ensure_started(self) -> None:
        """Start the hub at its first use; a start that failed is tried again by the next."""
        if self.running:
            return
        if self._start_task is None or self._start_task.done():
            self._start_task = asyncio.create_task(self._start(), context=Context())
        await asyncio.shield(self._start_task)

    @property
    def running(self) -> bool:
        """Whether it has been started."""
        task = self._start_task
        return bool(task and task.done() and not task.cancelled() and not task.exception())

    async def _start(self) -> None:
        self.epoch = await async_reads.current_epoch()
        await self.subscription.open()
        self._spawn(self.subscription.watch_forever())
        self._spawn(self._sweep.run_forever())

    async def sweep(self) -> None:
        """Compare every room with the table now."""
        await self._sweep.sweep_rooms()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        # In nobody's context: it is not done for the request or socket that happened to cause it.
        task: asyncio.Task[None] = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """End the hub's tasks."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.subscription.close()


def _missing_range(
    room: LogRoom, request: JoinRequest, snapshot: dict[str, Any] | None, epoch: str
) -> MissingRange | None:
    """Return the events that a resumed join is owed, None where there are none or it gets a snapshot."""
    if snapshot is None or snapshot_reason(request, epoch=epoch, seq=snapshot["seq"], max_replay=frames.MAX_REPLAY):
        return None
    return (
        MissingRange(room, request.since or 0, snapshot["seq"]) if (request.since or 0) < snapshot["seq"] else None
    )


def _summary_of(frame: bytes) -> dict[str, Any]:
    """Read the summary out of a frame."""
    summary: dict[str, Any] = orjson.loads(frame)["shipment"]
    return summary


_hubs: dict[asyncio.AbstractEventLoop, RoomHub] = {}


def current() -> RoomHub:
    """Return the hub of this process and event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = RoomHub()
    return _hubs[loop]


def all_hubs() -> list[RoomHub]:
    """Return the hubs of all event loops of this process."""
    return list(_hubs.values())
