"""The room types: a shipment's log, an organisation's feed, a driver's positions, progress of exports and imports.

Each `find_…` is the permission check of its type, and finds exactly what REST would show the subject.
"""

import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import orjson

from monitoring.dependencies.batching import BatchLoader
from realtime.hub.room_registry import RoomType
from realtime.protocol import frames, room_names
from realtime.protocol.frames import Json
from realtime.protocol.room_names import RoomName
from shipments import representation
from shipments.auth.subjects import Subject, VisibilityScope
from shipments.domain import visibility
from shipments.selectors import async_reads

Newest = Callable[[Sequence[uuid.UUID]], Awaitable[dict[uuid.UUID, tuple[int, Json]]]]
Owned = Callable[[Subject, Sequence[uuid.UUID]], Awaitable[set[uuid.UUID]]]
Find = Callable[[Subject, Sequence[str]], Awaitable[dict[str, RoomName]]]


class ShipmentLog:
    """The log of one shipment in one visibility variant, numbered by `seq`."""

    def __init__(self, variant: str) -> None:
        self._variant = variant

    async def snapshots(self, keys: Sequence[uuid.UUID]) -> tuple[str, dict[uuid.UUID, Json]]:
        epoch, snapshots = await async_reads.fetch_snapshots(keys)
        return epoch, {key: representation.snapshot_in(each, self._variant) for key, each in snapshots.items()}

    async def events(self, key: uuid.UUID, after: int, *, upto: int | None = None, limit: int) -> list[Json]:
        return await async_reads.fetch_events(key, after, up_to=upto, limit=limit, variant=self._variant)

    def number(self, event: Json) -> int:
        return int(event["seq"])

    def summary(self, snapshot: Json) -> Json:
        return {key: snapshot[key] for key in frames.SUMMARY_FIELDS}

    def summary_after(self, summary: Json, event: Json) -> Json:
        return frames.fold_summary(summary, event)

    def frame(self, room: RoomName, epoch: str, event: Json, summary: Json) -> bytes:
        return frames.update(
            room=room.name, reference=room.identifier, epoch=epoch, seq=event["seq"], event=event, shipment=summary
        )

    def hint_frame(self, frame: bytes) -> bytes | None:
        if self._variant == "staff":
            return frame
        fields = orjson.loads(frame)
        if frames.is_reassignment(fields["event"]):
            return None  # whether its customer may be named is in the database
        fields["event"] = visibility.restrict_event(fields["event"], customer_id=None)
        fields["shipment"] = visibility.restrict_snapshot(fields["shipment"])
        return frames.encode(fields)


class FeedLog:
    """The feed of one organisation, numbered by the sequencer's positions."""

    async def snapshots(self, keys: Sequence[uuid.UUID]) -> tuple[str, dict[uuid.UUID, Json]]:
        epoch, heads = await async_reads.fetch_heads(keys)
        return epoch, {key: {"seq": heads[key]} for key in keys if key in heads}

    async def events(self, key: uuid.UUID, after: int, *, upto: int | None = None, limit: int) -> list[Json]:
        return await async_reads.fetch_feed(key, after, up_to=upto, limit=limit)

    def number(self, event: Json) -> int:
        return int(event["position"])

    def summary(self, snapshot: Json) -> Json:
        return {}

    def summary_after(self, summary: Json, event: Json) -> Json:
        return summary

    def frame(self, room: RoomName, epoch: str, event: Json, summary: Json) -> bytes:
        return frames.feed_update(room=room.name, epoch=epoch, entry=event)

    def hint_frame(self, frame: bytes) -> bytes | None:
        return frame


class DriverPositions:
    """The newest position of a driver; its version is the position's own time in microseconds since 1970."""

    async def newest(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, Json]]:
        return await async_reads.fetch_positions(keys)

    def frame(self, room: RoomName, value: Json) -> bytes:
        return frames.driver_location(value)


async def find_shipments(subject: Subject, references: Sequence[str]) -> dict[str, RoomName]:
    """Find shipments by reference, in any case; concurrent joins share a query.

    The room is the one for the subject's variant: a subject whose variant changes may no longer be in the other.
    """
    if not subject.has_permission("shipment:follow"):
        return {}
    scope, suffix = subject.visibility_scope, "" if subject.variant == "staff" else room_names.RESTRICTED_SUFFIX
    visible = await _visible_shipments.load_many((scope, reference.upper()) for reference in references)
    rooms_by_reference = {}
    for reference in references:
        if match := visible.get((scope, reference.upper())):
            shipment_id, stored_reference = match
            rooms_by_reference[reference] = RoomName(
                "shipment",
                shipment_id,
                room_names.shipment_room(stored_reference),
                room_names.shipment_group(subject.organization_id, stored_reference) + suffix,
            )
    return rooms_by_reference


async def _find_visible(
    requests: set[tuple[VisibilityScope, str]],
) -> dict[tuple[VisibilityScope, str], tuple[uuid.UUID, str]]:
    by_scope: dict[VisibilityScope, list[str]] = defaultdict(list)
    for scope, reference in requests:
        by_scope[scope].append(reference)
    matches: dict[tuple[VisibilityScope, str], tuple[uuid.UUID, str]] = {}
    for scope, references in by_scope.items():
        visible = await async_reads.fetch_visible_references(scope, references)
        matches |= {(scope, reference): each for reference, each in visible.items()}
    return matches


_visible_shipments: Final = BatchLoader.of_reads(_find_visible)


async def find_feed(subject: Subject, keys: Sequence[str]) -> dict[str, RoomName]:
    """Find the feed of the subject's organisation; only for roles that see every shipment."""
    if not (subject.sees_all_shipments and subject.has_permission("shipments:read")):
        return {}
    organization_id = subject.organization_id
    return {"all": RoomName("feed", organization_id, room_names.FEED, room_names.feed_group(organization_id))}


async def find_drivers(subject: Subject, texts: Sequence[str]) -> dict[str, RoomName]:
    """Find drivers by id."""
    if not subject.has_permission("shipments:read"):
        return {}
    ids = {text: uuid.UUID(text) for text in texts}
    visible = await async_reads.fetch_visible_driver_ids(subject, list(ids.values()))
    return {
        text: RoomName("driver", key, f"driver:{key}", room_names.driver_group(key))
        for text, key in ids.items()
        if key in visible
    }


class ProgressSource:
    """The progress of background work, read by the app that runs it."""

    def __init__(self, newest: Newest, make_frame: Callable[[Json], bytes]) -> None:
        self._newest, self._make_frame = newest, make_frame

    async def newest(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, Json]]:
        return await self._newest(keys)

    def frame(self, room: RoomName, value: Json) -> bytes:
        return self._make_frame(value)


def export_room_type(*, newest: Newest, owned: Owned) -> RoomType:
    """Return the room type of background exports, each open to the user that started it."""
    find = _find_owned("export", "exports:read", room_names.export_group, owned)
    return RoomType("export", find, latest=ProgressSource(newest, frames.export_progress))


def import_room_type(*, newest: Newest, owned: Owned) -> RoomType:
    """Return the room type of imports, each open to the user that sent the file."""
    find = _find_owned("import", "shipments:write", room_names.import_group, owned)
    return RoomType("import", find, latest=ProgressSource(newest, frames.import_progress))


def _find_owned(type_name: str, permission: str, group: Callable[[uuid.UUID], str], owned: Owned) -> Find:
    async def find(subject: Subject, texts: Sequence[str]) -> dict[str, RoomName]:
        if not subject.has_permission(permission):
            return {}
        ids = {text: uuid.UUID(text) for text in texts}
        own = await owned(subject, list(ids.values()))
        return {
            text: RoomName(type_name, key, f"{type_name}:{key}", group(key))
            for text, key in ids.items()
            if key in own
        }

    return find


ROOM_TYPES: Final = (
    RoomType("shipment", find_shipments, log=ShipmentLog("staff"), restricted_log=ShipmentLog("restricted")),
    RoomType("feed", find_feed, log=FeedLog()),
    RoomType("driver", find_drivers, latest=DriverPositions()),
)
