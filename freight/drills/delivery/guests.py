"""Guests: watchers that go in and out of rooms as they please, and keep a record of each stay."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from freight.drills.delivery import sockets
from freight.drills.delivery.watchers import Record, Watcher


class Guest(Watcher):
    """One client. `records` are its stays now, `past` those that it has ended itself."""

    def __init__(self, port: int | Path, key: str, *, seed: object) -> None:
        super().__init__(port, key, [], seed=seed)
        self.past: dict[str, list[Record]] = defaultdict(list)
        self.stray = 0
        self._leaving: Counter[str] = Counter()
        self._welcomed: sockets.Socket | None = None
        self.whole.set()  # nothing was asked yet

    @property
    def inside(self) -> bool:
        """Whether its socket is open and greeted."""
        return self._welcomed is not None and not self._welcomed.ended.done()

    def enter(self, room: str) -> None:
        """This will ask to be let into a room; where the socket is away, once it is back."""
        if room in self.records:
            return
        self.records[room] = []
        self.whole.clear()
        if self.inside:
            self._ask([room])

    def leave(self, room: str) -> None:
        """This will leave a room. What comes of it until the server has heard is not counted."""
        self.past[room] += self.records.pop(room)
        self._unanswered.discard(room)
        if not self._unanswered:
            self.whole.set()
        if self.inside and self.socket is not None:
            self._leaving[room] += 1
            self.socket.say(type="leave:room", room=room)

    def stays(self) -> dict[str, list[Record]]:
        """This will return every record, by room."""
        found: dict[str, list[Record]] = defaultdict(list)
        for records in (self.past, self.records):
            for room, stays in records.items():
                found[room] += stays
        return found

    def _hear(self, heard_from: sockets.Socket, raw: bytes) -> None:
        if heard_from is not self._welcomed:
            self._welcomed = heard_from
            self._leaving.clear()
            if not self.records:
                self.whole.set()
        super()._hear(heard_from, raw)

    def _left(self, frame: dict[str, Any]) -> None:
        super()._left(frame)
        self._leaving[frame["room"]] -= 1

    def _updated(self, frame: dict[str, Any], at: float) -> None:
        room = frame["room"]
        if self._leaving[room] > 0:
            return
        if room in self.records:
            super()._updated(frame, at)
        else:
            self.stray += 1

    def _joined(self, frame: dict[str, Any], at: float) -> None:
        # What answers an earlier asking comes before the leaving that followed it.
        if frame["room"] in self.records and self._leaving[frame["room"]] <= 0:
            super()._joined(frame, at)
