"""Socket clients that follow docs/protocol.md and keep a record of every event that they receive."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tests.drills.clients import websocket_client

_RECONNECT_SECONDS: Final = (0.2, 1.0)
_REJOIN_SECONDS: Final = (0.3, 0.8)
FEED: Final = "shipments:all"
# After these closes a client does not come back by itself.
FINAL_CLOSE_CODES: Final = frozenset({1000, 4400, 4401, 4403})


@dataclass(slots=True)
class RoomRecord:
    """The events of one room in one epoch that a client received after seq `base`."""

    epoch: str
    base: int
    seqs: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    # The indexes of events that came with a join, not live.
    recovered: set[int] = field(default_factory=set)

    @property
    def last(self) -> int:
        """The newest seq that the client has."""
        return self.seqs[-1] if self.seqs else self.base


@dataclass(slots=True)
class SubscriberStats:
    """What happened at one client beside its records."""

    duplicates: int = 0
    gaps: int = 0
    frames: int = 0
    snapshots: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    handshakes_refused: Counter[int] = field(default_factory=Counter)
    drain_frames: int = 0
    rooms_left: Counter[str] = field(default_factory=Counter)
    # When a socket closed (wall clock), and the seconds until every room was joined again on the next one.
    outages: list[tuple[float, float]] = field(default_factory=list)


class Subscriber:
    """One client in one or more rooms, which reconnects with jitter and resumes from its last seq."""

    def __init__(
        self, address: int | Path, key: str, rooms: Sequence[str], *, seed: object,
        reconnect: tuple[float, float] = _RECONNECT_SECONDS,
    ) -> None:  # fmt: skip
        self.port, self._key, self._reconnect = address, key, reconnect
        self.records: dict[str, list[RoomRecord]] = {room: [] for room in rooms}
        self.stats = SubscriberStats()
        self.socket: websocket_client.WebSocketClient | None = None
        self.synced = asyncio.Event()
        self.finished = asyncio.Event()
        self.stopped = False
        self._rng = random.Random(f"watcher/{seed}")
        self._unanswered: set[str] = set()
        self._join_cursors: dict[str, int] = {}
        self._lost_at: float | None = None
        self._rejoin_timer: asyncio.TimerHandle | None = None
        self._drain_retry_ms: int | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Close the socket and do not reconnect."""
        self.stopped = True
        if self._rejoin_timer is not None:
            self._rejoin_timer.cancel()
        if self.socket is not None:
            await self.socket.close_or_abort()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def abort(self) -> None:
        """Reset the connection; the client reconnects unless it is stopped."""
        if self.socket is not None:
            self.synced.clear()
            self.socket.abort()

    def current_record(self, room: str) -> RoomRecord | None:
        """Return the record to which the next event is added, None where there is none yet."""
        return self.records[room][-1] if self.records[room] else None

    # -- the connection -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self.stopped:
            try:
                self.socket = await websocket_client.connect(self.port, self._key, self._on_frame)
            except websocket_client.HandshakeRefused as refused:
                self.stats.handshakes_refused[refused.status] += 1
            except (OSError, TimeoutError):
                self.stats.handshakes_refused[0] += 1
            else:
                code = await self.socket.closed
                self.stats.closes[code] += 1
                self.synced.clear()
                self._lost_at = self._lost_at or time.time()
                if code in FINAL_CLOSE_CODES:
                    self.finished.set()
                    return
            await asyncio.sleep(self._reconnect_delay())

    def _reconnect_delay(self) -> float:
        if self._drain_retry_ms is not None:
            seconds, self._drain_retry_ms = self._drain_retry_ms / 1000, None
            return seconds
        return self._rng.uniform(*self._reconnect)

    def _join(self, rooms: Sequence[str]) -> None:
        if self.socket is None or not rooms:
            return
        requests: list[dict[str, Any]] = []
        for room in rooms:
            record = self.current_record(room)
            self._join_cursors[room] = record.last if record else 0
            requests.append({"room": room} | ({"epoch": record.epoch, "since": record.last} if record else {}))
        self._unanswered |= set(rooms)
        self.socket.send_json(type="join:room", rooms=requests)

    def _join_later(self) -> None:
        if self._rejoin_timer is not None:
            self._rejoin_timer.cancel()
        loop = asyncio.get_running_loop()
        self._rejoin_timer = loop.call_later(
            self._rng.uniform(*_REJOIN_SECONDS), lambda: self._join(sorted(self._unanswered))
        )

    # -- frames -------------------------------------------------------------------------------------------

    def _on_frame(self, websocket: websocket_client.WebSocketClient, raw: bytes) -> None:
        # The welcome may come with the very bytes that open the socket.
        self.socket = websocket
        at, frame = time.time(), orjson.loads(raw)
        self.stats.frames += 1
        kind = frame["type"]
        if kind == "shipment:update":
            self._on_update(frame, at)
        elif kind == "welcome":
            self._unanswered.clear()
            self._join(list(self.records))
        elif kind == "room:joined":
            self._on_joined(frame, at)
        elif kind == "error":
            self._on_error(frame)
        elif kind == "heartbeat":
            self._join([room for room, head in frame["heads"].items() if self._is_behind(room, head)])
        elif kind == "stale":
            self._join([frame["room"]] if frame.get("room") in self.records else list(self.records))
        elif kind == "drain":
            self.stats.drain_frames += 1
            self._drain_retry_ms = frame.get("retryMs")
        elif kind == "room:left":
            self._on_left(frame)

    def _on_update(self, frame: dict[str, Any], at: float) -> None:
        record = self.current_record(frame["room"])
        if record is None or frame["epoch"] != record.epoch:
            self.stats.gaps += 1  # an update of a history that was not joined
            self._join([frame["room"]])
        elif frame["seq"] == record.last + 1:
            _apply(record, frame["seq"], frame["event"], at)
        elif frame["seq"] <= record.last:
            self.stats.duplicates += 1
        else:
            self.stats.gaps += 1
            self._join([frame["room"]])

    def _on_joined(self, frame: dict[str, Any], at: float) -> None:
        room, record = frame["room"], self.current_record(frame["room"])
        if frame["recovered"] and record is not None:
            for event in frame["events"]:
                self._apply_recovered(record, event, at, cursor=self._join_cursors[room])
            if record.last < frame["seq"]:
                self.stats.gaps += 1
        else:
            self.stats.snapshots[frame["reason"]] += 1
            self.records[room].append(RoomRecord(frame["epoch"], frame["seq"]))
        self._unanswered.discard(room)
        if not self._unanswered:
            self.synced.set()
            if self._lost_at is not None:
                self.stats.outages.append((self._lost_at, time.time() - self._lost_at))
                self._lost_at = None

    def _apply_recovered(self, record: RoomRecord, event: dict[str, Any], at: float, *, cursor: int) -> None:
        # An entry of the feed carries its position, which is the seq of that room.
        number = event.get("position", event["seq"])
        if number == record.last + 1:
            record.recovered.add(len(record.seqs))
            _apply(record, number, event, at)
        elif number > record.last:
            self.stats.gaps += 1
        elif number <= cursor:  # an event that came live during the join may be in its reply, too
            self.stats.duplicates += 1

    def _on_left(self, frame: dict[str, Any]) -> None:
        self.stats.rooms_left[frame["reason"]] += 1

    def _on_error(self, frame: dict[str, Any]) -> None:
        self.stats.errors[frame["code"]] += 1
        if frame["code"] in {"unavailable", "rate_limited"}:
            self._join_later()

    def _is_behind(self, room: str, head: int) -> bool:
        record = self.current_record(room) if room in self.records else None
        return record is not None and room not in self._unanswered and head > record.last


def _apply(record: RoomRecord, number: int, event: dict[str, Any], at: float) -> None:
    record.seqs.append(number)
    record.ids.append(event["id"])
    record.at.append(at)


async def wait_until_synced(subscribers: Sequence[Subscriber], seconds: float) -> bool:
    """Wait until every subscriber is in all of its rooms, and return whether that came in time."""
    try:
        async with asyncio.timeout(seconds):
            for subscriber in subscribers:
                await subscriber.synced.wait()
    except TimeoutError:
        return False
    return True
