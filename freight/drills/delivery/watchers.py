"""Watchers: socket clients that do what docs/protocol.md tells, and keep a record of all that they were given."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from freight.drills.delivery import sockets

_RECONNECT_SECONDS: Final = (0.2, 1.0)
_ASK_AGAIN_SECONDS: Final = (0.3, 0.8)
FEED: Final = "shipments:all"
# After these closes a client does not come back by itself.
FINAL: Final = frozenset({1000, 4400, 4401, 4403})


@dataclass(slots=True)
class Record:
    """What one client was given of one room in one epoch, from `base` on."""

    epoch: str
    base: int
    seqs: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    # The first of these came with a join, not live; by its place in the list.
    recovered: set[int] = field(default_factory=set)

    @property
    def last(self) -> int:
        """The newest seq that the client has."""
        return self.seqs[-1] if self.seqs else self.base


@dataclass(slots=True)
class Seen:
    """What went on at one client beside its records."""

    duplicates: int = 0
    gaps: int = 0
    frames: int = 0
    snapshots: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    drains: int = 0
    left: Counter[str] = field(default_factory=Counter)
    # When a socket ended (wall clock), and the seconds until every room was answered on the next one.
    away: list[tuple[float, float]] = field(default_factory=list)


class Watcher:
    """One client in one or more rooms, which reconnects with jitter and resumes with what it has."""

    def __init__(
        self, port: int | Path, key: str, rooms: Sequence[str], *, seed: object,
        reconnect: tuple[float, float] = _RECONNECT_SECONDS,
    ) -> None:  # fmt: skip
        self.port, self._key, self._reconnect = port, key, reconnect
        self.records: dict[str, list[Record]] = {room: [] for room in rooms}
        self.seen = Seen()
        self.socket: sockets.Socket | None = None
        self.whole = asyncio.Event()
        self.over = asyncio.Event()
        self.stopped = False
        self._chance = random.Random(f"watcher/{seed}")  # noqa: S311  a drill is repeatable
        self._unanswered: set[str] = set()
        self._asked_since: dict[str, int] = {}
        self._lost_at: float | None = None
        self._again: asyncio.TimerHandle | None = None
        self._retry_ms: int | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """This will begin to connect."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """This will end the socket and the coming back."""
        self.stopped = True
        if self._again is not None:
            self._again.cancel()
        if self.socket is not None:
            await self.socket.finish()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def drop(self) -> None:
        """This will cut the socket without a word; the watcher comes back by itself unless it is stopped."""
        if self.socket is not None:
            self.whole.clear()
            self.socket.drop()

    def newest(self, room: str) -> Record | None:
        """This will return the record that goes on."""
        return self.records[room][-1] if self.records[room] else None

    # -- the connection -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self.stopped:
            try:
                self.socket = await sockets.connect(self.port, self._key, self._hear)
            except sockets.Refused as refused:
                self.seen.refused[refused.status] += 1
            except (OSError, TimeoutError):
                self.seen.refused[0] += 1
            else:
                code = await self.socket.ended
                self.seen.closes[code] += 1
                self.whole.clear()
                self._lost_at = self._lost_at or time.time()
                if code in FINAL:
                    self.over.set()
                    return
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        if self._retry_ms is not None:
            seconds, self._retry_ms = self._retry_ms / 1000, None
            return seconds
        return self._chance.uniform(*self._reconnect)

    def _ask(self, rooms: Sequence[str]) -> None:
        if self.socket is None or not rooms:
            return
        wanted: list[dict[str, Any]] = []
        for room in rooms:
            record = self.newest(room)
            self._asked_since[room] = record.last if record else 0
            wanted.append({"room": room} | ({"epoch": record.epoch, "since": record.last} if record else {}))
        self._unanswered |= set(rooms)
        self.socket.say(type="join:room", rooms=wanted)

    def _ask_later(self) -> None:
        if self._again is not None:
            self._again.cancel()
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(
            self._chance.uniform(*_ASK_AGAIN_SECONDS), lambda: self._ask(sorted(self._unanswered))
        )

    # -- frames -------------------------------------------------------------------------------------------

    def _hear(self, heard_from: sockets.Socket, raw: bytes) -> None:
        # The welcome may come with the very bytes that open the socket.
        self.socket = heard_from
        at, frame = time.time(), orjson.loads(raw)
        self.seen.frames += 1
        kind = frame["type"]
        if kind == "shipment:update":
            self._updated(frame, at)
        elif kind == "welcome":
            self._unanswered.clear()
            self._ask(list(self.records))
        elif kind == "room:joined":
            self._joined(frame, at)
        elif kind == "error":
            self._refused(frame)
        elif kind == "heartbeat":
            self._ask([room for room, head in frame["heads"].items() if self._is_behind(room, head)])
        elif kind == "stale":
            self._ask([frame["room"]] if frame.get("room") in self.records else list(self.records))
        elif kind == "drain":
            self.seen.drains += 1
            self._retry_ms = frame.get("retryMs")
        elif kind == "room:left":
            self._left(frame)

    def _updated(self, frame: dict[str, Any], at: float) -> None:
        record = self.newest(frame["room"])
        if record is None or frame["epoch"] != record.epoch:
            self.seen.gaps += 1  # nobody may be given an update of a history that he was not told of
            self._ask([frame["room"]])
        elif frame["seq"] == record.last + 1:
            _apply(record, frame["seq"], frame["event"], at)
        elif frame["seq"] <= record.last:
            self.seen.duplicates += 1
        else:
            self.seen.gaps += 1
            self._ask([frame["room"]])

    def _joined(self, frame: dict[str, Any], at: float) -> None:
        room, record = frame["room"], self.newest(frame["room"])
        if frame["recovered"] and record is not None:
            for event in frame["events"]:
                self._recovered(record, event, at, asked=self._asked_since[room])
            if record.last < frame["seq"]:
                self.seen.gaps += 1
        else:
            self.seen.snapshots[frame["reason"]] += 1
            self.records[room].append(Record(frame["epoch"], frame["seq"]))
        self._unanswered.discard(room)
        if not self._unanswered:
            self.whole.set()
            if self._lost_at is not None:
                self.seen.away.append((self._lost_at, time.time() - self._lost_at))
                self._lost_at = None

    def _recovered(self, record: Record, event: dict[str, Any], at: float, *, asked: int) -> None:
        # An entry of the feed carries its position, which is the number of that room.
        number = event.get("position", event["seq"])
        if number == record.last + 1:
            record.recovered.add(len(record.seqs))
            _apply(record, number, event, at)
        elif number > record.last:
            self.seen.gaps += 1
        elif number <= asked:  # what came live since we asked may be in the answer, too
            self.seen.duplicates += 1

    def _left(self, frame: dict[str, Any]) -> None:
        self.seen.left[frame["reason"]] += 1

    def _refused(self, frame: dict[str, Any]) -> None:
        self.seen.errors[frame["code"]] += 1
        if frame["code"] in {"unavailable", "rate_limited"}:
            self._ask_later()

    def _is_behind(self, room: str, head: int) -> bool:
        record = self.newest(room) if room in self.records else None
        return record is not None and room not in self._unanswered and head > record.last


def _apply(record: Record, number: int, event: dict[str, Any], at: float) -> None:
    record.seqs.append(number)
    record.ids.append(event["id"])
    record.at.append(at)


async def all_whole(watchers: Sequence[Watcher], seconds: float) -> bool:
    """This will wait until every watcher has been answered for every room, and say whether that came in time."""
    try:
        async with asyncio.timeout(seconds):
            for watcher in watchers:
                await watcher.whole.wait()
    except TimeoutError:
        return False
    return True
