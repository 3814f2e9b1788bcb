"""The hub: one for each process and event loop. It brings every committed event to every member, once and in order.

The way of a transition to the socket, in the order of its folders:

1. shipments/api/shipments: `TransitionsView.post` parses the request and calls `services.advance`.
2. shipments/services/shipments: `advance` locks and saves the row; `log.record` inserts the event; COMMIT.
3. shipments/log.py: on commit `_publish_event` sends `signals.event_committed`, which freight.wiring connects.
4. realtime/publishing: `receivers.publish_event` encodes the frame; `Publisher` sends it as a hint through Redis.
5. realtime/hub, in each process: `Subscription` calls `RoomHub.handle_message`; `LogRoom.apply_hint` appends the
   frame; `RoomFlusher` flushes it to `delivery.broadcast`, and so to each socket's `SendBuffer`
   (freight/server/websocket) or, on another server, to `SocketConsumer.deliver` (realtime/connections).

The log in PostgreSQL is the truth; a hint is an optimisation and may get lost. What a hint does to a room is in
log_room.py. A room that is behind is *filled* from the log, by one query for all its members. The *sweep*
(sweep.py) compares all heads with the database every two seconds, and so heals whatever was lost.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextvars import Context
from datetime import datetime
from typing import Any, Final

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

# Events that one query of a fill reads.
EVENTS_PER_FILL: Final = 500
MAX_CONCURRENT_FILLS: Final = 4

log = structlog.get_logger(__name__)


class RoomHub:
    """The rooms of one event loop, by group. Its methods run on that loop and need no lock."""

    def __init__(self) -> None:
        self.rooms: dict[str, LogRoom | LatestRoom] = {}
        self.epoch = ""
        self.subscription = Subscription(lambda message: self.handle_message(message))
        self.reader = RoomReader()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flusher = RoomFlusher()
        self._start_task: asyncio.Task[None] | None = None
        self._fill_slots = asyncio.Semaphore(MAX_CONCURRENT_FILLS)
        self._sweep = Sweep(self)

    # -- joining and leaving ----------------------------------------------------------------------------

    async def join(self, member: Member, requests: Sequence[JoinRequest], *, echo: object = None) -> None:
        """Add a member to rooms, and answer each join with the events after its `since` or with a snapshot.

        The caller has checked the permission (`room_registry.find`). From the answer on the member gets every
        event. Raise what the database raises; the member is then in none of the rooms that were not answered.
        """
        await self.ensure_started()
        joins = [(self._open(request), request) for request in requests]
        try:
            empty_groups = {room.name.hint_group for room, _ in joins if not room.members}
            await asyncio.gather(*(self.subscription.subscribe(group) for group in empty_groups))
            await self._answer_latest(member, joins, echo=echo)
            unanswered = [(room, request) for room, request in joins if isinstance(room, LogRoom)]
            while unanswered:
                unanswered = await self._answer(member, unanswered, echo=echo)
        finally:
            for room, _ in joins:
                room.joining -= 1
                self._close_if_idle(room)

    async def _answer(
        self, member: Member, unanswered: list[tuple[LogRoom, JoinRequest]], *, echo: object
    ) -> list[tuple[LogRoom, JoinRequest]]:
        """Answer the joins whose snapshot is not older than the room's head; return the others, to read again.

        Each answer is of the epoch that its snapshot was read in.
        """
        states = await self.reader.states(room for room, _ in unanswered)
        epoch = self.epoch
        if not all(state.epoch == epoch and room.accepts(epoch) for room, state in states.items()):
            await self._sweep.adopt_epoch()
            return unanswered
        snapshots = {room: state.snapshot for room, state in states.items()}
        missing = {
            request: missing_range
            for room, request in unanswered
            if (missing_range := MissingRange.of(room, request, states.get(room)))
        }
        replays = await self.reader.events(missing.values())
        overtaken: list[tuple[LogRoom, JoinRequest]] = []
        sent_bytes = 0
        for room, request in unanswered:
            snapshot = snapshots.get(room)
            if snapshot is None:
                member.deliver(frames.no_such_room(echo=echo, room=request.room.name))
                continue
            seq = snapshot["seq"]
            reason = snapshot_reason(request, epoch=epoch, seq=seq, max_replay=frames.MAX_REPLAY)
            if epoch != self.epoch or not room.accepts(epoch) or seq < room.head:
                overtaken.append((room, request))
                continue
            events = replays[missing[request]] if request in missing else []
            metrics.replayed_events.inc(len(events))
            reply_fields = {"echo": echo, "room": request.room.name, "epoch": epoch, "seq": seq}
            frame = frames.joined_with_events(**reply_fields, events=events) if reason is None else b""
            if len(frame) > frames.MAX_REPLAY_BYTES:
                reason = "too_far"
            if reason is not None:
                frame = frames.joined_with_snapshot(**reply_fields, reason=reason, snapshot=snapshot)
            member.deliver(frame)
            if not member.closed:
                room.admit(member, snapshot, epoch)
                self.fill_if_behind(room)
            sent_bytes += len(frame)
            if sent_bytes > frames.MAX_REPLAY_BYTES:
                # Long answers must not make the member look like a slow consumer. Rooms that are overtaken during
                # the wait are read again.
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
        """Remove a member from a room; return whether it was in."""
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
            if source := room_type.restricted_log if name.is_restricted else room_type.log:
                room = LogRoom(name, source)
            else:
                assert room_type.latest  # noqa: S101  a type has either a log or a latest source
                room = LatestRoom(name, room_type.latest)
            self.rooms[name.group] = room
        room.joining += 1
        return room

    def _close_if_idle(self, room: LogRoom | LatestRoom) -> None:
        if room.idle and self.rooms.get(room.name.group) is room:
            del self.rooms[room.name.group]
            self._spawn(self._unsubscribe(room.name.hint_group))

    async def _unsubscribe(self, hint_group: str) -> None:
        if not self._rooms_of(hint_group):  # else a member joined meanwhile, or is in the other room
            await self.subscription.unsubscribe(hint_group)

    def _rooms_of(self, hint_group: str) -> list[LogRoom | LatestRoom]:
        """Return the rooms that take the hints of a group: one for staff, one for restricted members."""
        groups = (hint_group, hint_group + room_names.RESTRICTED_SUFFIX)
        return [room for group in groups if (room := self.rooms.get(group)) is not None]

    # -- delivering -------------------------------------------------------------------------------------

    def handle_message(self, message: dict[str, Any]) -> None:
        """Apply one message of the channel layer: a hint, a newest value or a control message."""
        if message["type"] == "control":
            revocation.handle_control(message)
            return
        for room in self._rooms_of(message["group"]):
            self._apply(message, room)

    def _apply(self, message: dict[str, Any], room: LogRoom | LatestRoom) -> None:
        if isinstance(room, LatestRoom):
            room.update(message["version"], message["frame"])
        elif message["epoch"] == self.epoch and room.accepts(self.epoch):  # the sweep handles another epoch
            # Members that lose the room by this event must be out before it is delivered: a fill sees to that.
            restricted = message.get("reassigns") and revocation.restricted_principals(room.members)
            if numbered := message.get("numbered"):
                room.bound_commits(after=numbered["after"], floor=numbered["since"])
            if room.apply_hint(message["seq"], None if restricted else message.get("frame")):
                self._flusher.schedule(room, max(message["at"], room.opened_at))
                trace_context.record_delivery("deliver", message.get("trace"), sent_at=message["at"])
                if message["ends"]:
                    self.end_room(room)
            self.fill_if_behind(room)

    def end_room(self, room: LogRoom | LatestRoom) -> None:
        """Send `room:left` (deleted) to all members and remove them."""
        for member in room.remove_all():
            member.deliver(frames.room_left(room=room.name.name, reason="deleted"))
        self._close_if_idle(room)

    def fill_if_behind(self, room: LogRoom) -> None:
        """Start a fill where the room is behind and none is under way."""
        if room.behind and not room.filling:
            room.filling = True
            self._spawn(self._fill(room))

    async def _fill(self, room: LogRoom) -> None:
        """Read the log from the head on until the room is level.

        A failed query is logged; the next sweep starts another fill.
        """
        try:
            while room.behind:
                epoch = room.epoch
                async with self._fill_slots:
                    events = await room.log.events(room.key, room.head, limit=EVENTS_PER_FILL)
                if room.epoch != epoch:
                    continue  # these are events of the history before
                if not events:
                    room.forget_unlogged_seq()
                for event in events:
                    if frames.is_reassignment(event):
                        await revocation.recheck_restricted(room.members)
                    if not room.members or not room.apply_event(event, frames.summary_of):
                        continue
                    is_feed = room.name.name == room_names.FEED
                    if not is_feed:  # hints of a long batch of the feed carry no frames
                        metrics.healed_events.inc()
                    recorded_at = datetime.fromisoformat(event["recordedAt"]).timestamp()
                    self._flusher.schedule(room, max(recorded_at, room.commit_floor, room.opened_at))
                    if event["type"] == "deleted" and not is_feed:
                        self.end_room(room)
        except Exception as error:  # noqa: BLE001  the database is away: the next sweep starts another fill
            log.warning("fill failed", room=room.name.group, error=repr(error))
        finally:
            room.filling = False

    # -- running ----------------------------------------------------------------------------------------

    async def ensure_started(self) -> None:
        """Start the hub at its first use; concurrent callers share the attempt.

        Raise what the database raises; the next caller tries again.
        """
        if self.running:
            return
        if self._start_task is None or self._start_task.done():
            self._start_task = asyncio.create_task(self._start(), context=Context())
        await asyncio.shield(self._start_task)

    @property
    def running(self) -> bool:
        """Whether it has started."""
        task = self._start_task
        return bool(task and task.done() and not task.cancelled() and not task.exception())

    async def _start(self) -> None:
        self.epoch = await async_reads.current_epoch()
        await self.subscription.open()
        self._spawn(self.subscription.watch_forever())
        self._spawn(self._sweep.run_forever())

    async def sweep(self) -> None:
        """Compare every room with the database now."""
        await self._sweep.sweep_rooms()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In an empty context: the work does not belong to the trace of the socket that caused it.
        task: asyncio.Task[None] = asyncio.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Cancel the hub's tasks and close its subscription."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.subscription.close()


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
