"""Subscribers that join and leave rooms at will, and keep a record of each stay."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.drills.clients import websocket_client
from tests.drills.clients.subscribers import RoomRecord, Subscriber


class TransientClient(Subscriber):
    """One client. `records` holds its present stays, `past_records` those that it has ended itself."""

    def __init__(self, port: int | Path, key: str, *, seed: object) -> None:
        super().__init__(port, key, [], seed=seed)
        self.past_records: dict[str, list[RoomRecord]] = defaultdict(list)
        self.unexpected_updates = 0
        self._leaving: Counter[str] = Counter()
        self._greeted_socket: websocket_client.WebSocketClient | None = None
        self.synced.set()  # no join is under way

    @property
    def is_connected(self) -> bool:
        """Whether its socket is open and has received `welcome`."""
        return self._greeted_socket is not None and not self._greeted_socket.closed.done()

    def join(self, room: str) -> None:
        """Join a room, at once or as soon as the socket is open again."""
        if room in self.records:
            return
        self.records[room] = []
        self.synced.clear()
        if self.is_connected:
            self._join([room])

    def leave(self, room: str) -> None:
        """Leave a room. Frames of it that come before the server's `room:left` are not counted."""
        self.past_records[room] += self.records.pop(room)
        self._unanswered.discard(room)
        if not self._unanswered:
            self.synced.set()
        if self.is_connected and self.socket is not None:
            self._leaving[room] += 1
            self.socket.send_json(type="leave:room", room=room)

    def all_records(self) -> dict[str, list[RoomRecord]]:
        """Return every record, by room."""
        records_by_room: dict[str, list[RoomRecord]] = defaultdict(list)
        for records in (self.past_records, self.records):
            for room, room_records in records.items():
                records_by_room[room] += room_records
        return records_by_room

    def _on_frame(self, websocket: websocket_client.WebSocketClient, raw: bytes) -> None:
        if websocket is not self._greeted_socket:
            self._greeted_socket = websocket
            self._leaving.clear()
            if not self.records:
                self.synced.set()
        super()._on_frame(websocket, raw)

    def _on_left(self, frame: dict[str, Any]) -> None:
        super()._on_left(frame)
        self._leaving[frame["room"]] -= 1

    def _on_update(self, frame: dict[str, Any], at: float) -> None:
        room = frame["room"]
        if self._leaving[room] > 0:
            return
        if room in self.records:
            super()._on_update(frame, at)
        else:
            self.unexpected_updates += 1

    def _on_joined(self, frame: dict[str, Any], at: float) -> None:
        # The reply to an earlier join comes before the `room:left` that followed it.
        if frame["room"] in self.records and self._leaving[frame["room"]] <= 0:
            super()._on_joined(frame, at)
