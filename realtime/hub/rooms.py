"""Every room and group name, one function each, and who may enter: the kinds of room and how each is found."""

import base64
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from shipments.auth.subjects import Subject
from shipments.domain.identifiers import REFERENCE_PATTERN

Json = dict[str, Any]
# The organisation's feed; the one room whose name has no key of its own.
FEED: Final = "shipments:all"


@dataclass(frozen=True, slots=True)
class RoomName:
    """A room that was found: what it is about, and how the client and the channel layer call it."""

    type_name: str
    key: uuid.UUID
    name: str
    group: str

    @property
    def identifier(self) -> str:
        """What stands behind the kind in the name: a reference, an id, `all`."""
        return self.name.partition(":")[2]


class RoomLog(Protocol):
    """What a room with a numbered history reads. The numbers are contiguous and start at 1."""

    async def snapshots(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, Json]:
        """Return today's state of each, with its `seq`; what is gone is left out."""

    async def events(self, key: uuid.UUID, after: int, *, upto: int | None = None, limit: int) -> list[Json]:
        """Return the events behind a number, in order and up to one where that is given."""

    def number(self, event: Json) -> int:
        """Return an event's number in this room."""

    def summary(self, snapshot: Json) -> Json:
        """Return what of the state goes beside every event."""

    def summary_after(self, summary: Json, event: Json) -> Json:
        """Return the summary after an event."""

    def frame(self, room: RoomName, epoch: str, event: Json, summary: Json) -> bytes:
        """Return the frame of an event: the same bytes that its hint carries."""


class LatestSource(Protocol):
    """What a room without a history reads: the newest value wins."""

    async def newest(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, Json]]:
        """Return each value with a version that grows with every change."""

    def frame(self, room: RoomName, value: Json) -> bytes:
        """Return the frame that tells a value."""


@dataclass(frozen=True, slots=True)
class RoomType:
    """One kind of room. `find` returns, by what was asked for, the rooms that the subject may enter."""

    name: str
    find: Callable[[Subject, Sequence[str]], Awaitable[dict[str, RoomName]]]
    log: RoomLog | None = None
    latest: LatestSource | None = None


_room_types: dict[str, RoomType] = {}


def register(room_type: RoomType) -> None:
    """Make rooms of a kind enterable; freight.wiring calls it."""
    _room_types[room_type.name] = room_type


def room_type(name: str) -> RoomType:
    """Return a registered kind; raises KeyError for another."""
    return _room_types[name]


def shipment_room(reference: str) -> str:
    """Return the name by which clients know a shipment's room."""
    return f"shipment:{reference}"


def shipment_group(organization_id: uuid.UUID, reference: str) -> str:
    """Return the channel layer's group of a shipment's room: organisation first, ≤ 96 characters.

    Group names allow letters, digits, `-`, `_` and `.` and fewer than 100 of them, so the organisation is
    written in 22 characters of base64url and the colons become dots.
    """
    key = base64.urlsafe_b64encode(organization_id.bytes).rstrip(b"=").decode()
    return f"shipment.{key}.{reference.upper()}"


def feed_group(organization_id: uuid.UUID) -> str:
    """Return the group of an organisation's feed."""
    return f"feed.{organization_id}"


def driver_group(driver_id: uuid.UUID) -> str:
    """Return the group of a driver's positions."""
    return f"driver.{driver_id}"


def export_group(export_id: uuid.UUID) -> str:
    """Return the group of a background export's progress."""
    return f"export.{export_id}"


def import_group(import_id: uuid.UUID) -> str:
    """Return the group of an import's progress."""
    return f"import.{import_id}"


def parse_room(frame: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the kind and key that a join or leave names, None where it names none that can be."""
    room = frame.get("room")
    if "shipmentId" in frame and room is None:
        room = f"shipment:{frame['shipmentId']}" if isinstance(frame["shipmentId"], str) else None
    if not isinstance(room, str):
        return None
    name, _, key = room.partition(":")
    valid = REFERENCE_PATTERN.fullmatch(key) if name == "shipment" else room == FEED or _is_id(key)
    return (("feed", key) if room == FEED else (name, key)) if valid else None


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


async def find(subject: Subject, requested: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RoomName]:
    """Return those rooms that exist and that the subject may enter, one query for each kind.

    What is missing and what is forbidden are left out alike.
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
