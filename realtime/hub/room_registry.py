"""The registry of room types: what each type reads, and which of its rooms a subject may enter.

`freight.wiring` registers the types of `room_types.py` at start-up.
"""

import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from realtime.protocol.frames import Json
from realtime.protocol.room_names import RoomName
from shipments.auth.subjects import Subject


class RoomLog(Protocol):
    """Reads a room with a numbered history. Numbers are contiguous and start at 1."""

    async def snapshots(self, keys: Sequence[uuid.UUID]) -> tuple[str, dict[uuid.UUID, Json]]:
        """Return the epoch and the current state of each key, with its `seq`, as they were at one moment.

        Keys that no longer exist are left out; the epoch is empty where that leaves none.
        """

    async def events(self, key: uuid.UUID, after: int, *, upto: int | None = None, limit: int) -> list[Json]:
        """Return the events with `after < number <= upto` in order, at most `limit`."""

    def number(self, event: Json) -> int:
        """Return an event's number in this room."""

    def summary(self, snapshot: Json) -> Json:
        """Return the part of a snapshot that accompanies every event."""

    def summary_after(self, summary: Json, event: Json) -> Json:
        """Return the summary after an event."""

    def frame(self, room: RoomName, epoch: str, event: Json, summary: Json) -> bytes:
        """Return the frame of an event, byte for byte the one that its hint carries."""

    def hint_frame(self, frame: bytes) -> bytes | None:
        """Return the frame of a hint as the room's members see it, None where that takes a read of the log."""


class LatestSource(Protocol):
    """Reads a room without a history, where the newest value wins."""

    async def newest(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, Json]]:
        """Return `(version, value)` by key; versions grow with every change."""

    def frame(self, room: RoomName, value: Json) -> bytes:
        """Return the frame of a value."""


@dataclass(frozen=True, slots=True)
class RoomType:
    """One type of room, with either a `log` or a `latest` source; `restricted_log` is of rooms `is_restricted`.

    `find` takes the keys that a client named and returns, by key, the rooms that exist and that the subject may
    enter: the permission check of the type.
    """

    name: str
    find: Callable[[Subject, Sequence[str]], Awaitable[dict[str, RoomName]]]
    log: RoomLog | None = None
    restricted_log: RoomLog | None = None
    latest: LatestSource | None = None


_room_types: dict[str, RoomType] = {}


def register(room_type: RoomType) -> None:
    """Add a room type; called by `freight.wiring`."""
    _room_types[room_type.name] = room_type


def room_type(name: str) -> RoomType:
    """Return a registered room type; raise KeyError for an unknown name."""
    return _room_types[name]


async def find(subject: Subject, requested: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RoomName]:
    """Return the requested rooms that exist and that the subject may enter, by `(type, key)`.

    One query per room type. Missing and forbidden rooms are left out alike.
    """
    keys: dict[str, list[str]] = defaultdict(list)
    for name, key in requested:
        if name in _room_types:
            keys[name].append(key)
    permitted: dict[tuple[str, str], RoomName] = {}
    for name, type_keys in keys.items():
        rooms_by_key = await _room_types[name].find(subject, type_keys)
        permitted |= {(name, key): rooms_by_key[key] for key in type_keys if key in rooms_by_key}
    return permitted
