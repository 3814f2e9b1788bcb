"""The rooms of one socket or stream: join, leave and re-check."""

from collections.abc import Sequence
from typing import Any

from realtime import metrics
from realtime.hub import room_registry
from realtime.hub.log_room import JoinRequest, LogRoom, Member
from realtime.hub.room_hub import RoomHub
from realtime.protocol import frames, room_names
from realtime.protocol.frames import InvalidFrame
from realtime.protocol.room_names import RoomName
from shipments.auth.subjects import Subject


class RoomMemberships:
    """The joined rooms of one member, by group."""

    __slots__ = ("_hub", "_member", "rooms")

    def __init__(self, member: Member, hub: RoomHub) -> None:
        self.rooms: dict[str, RoomName] = {}
        self._member = member
        self._hub = hub

    async def join(self, subject: Subject, frame: dict[str, Any], echo: object) -> None:
        """Handle `join:room` of one or many rooms; each is answered once.

        Raise InvalidFrame, and what the database raises.
        """
        requested = frame.get("rooms", [frame])
        if (
            not isinstance(requested, list)
            or not requested
            or not all(isinstance(each, dict) for each in requested)
        ):
            raise InvalidFrame('"rooms" is a list of objects.')
        if len(requested) > frames.MAX_ROOMS:
            raise InvalidFrame(f"At most {frames.MAX_ROOMS} rooms in one frame.")
        parsed = [(fields, room_names.parse_room(fields)) for fields in requested]
        permitted = await room_registry.find(subject, [name for _, name in parsed if name])
        requests: dict[str, JoinRequest] = {}
        for fields, name in parsed:
            room = permitted.get(name) if name else None
            if room is None:
                self._member.deliver(frames.no_such_room(echo=echo, room=_room_as_sent(fields)))
                continue
            requests[room.group] = _join_request(fields, room)
        await self.enter(list(requests.values()), echo)

    async def enter(self, requests: Sequence[JoinRequest], echo: object = None) -> None:
        """Join permitted rooms, up to MAX_ROOMS in all; the others are answered with `too_many_rooms`."""
        free_slots = frames.MAX_ROOMS - len(self.rooms)
        accepted = []
        for request in requests:
            new = request.room.group not in self.rooms
            if new and free_slots <= 0:
                metrics.count_limited("rooms")
                message = f"A socket is in at most {frames.MAX_ROOMS} rooms."
                self._member.deliver(
                    frames.error(code="too_many_rooms", message=message, echo=echo, room=request.room.name)
                )
                continue
            free_slots -= new
            accepted.append(request)
        if accepted:
            # Before the join, so that a disconnect during it leaves these rooms too.
            self.rooms |= {request.room.group: request.room for request in accepted}
            await self._hub.join(self._member, accepted, echo=echo)

    def leave(self, frame: dict[str, Any], echo: object) -> None:
        """Handle `leave:room`; raise InvalidFrame where it names no room."""
        name = room_names.parse_room(frame)
        if name is None:
            raise InvalidFrame('Name the room: "shipmentId" or "room".')
        room_as_sent = _room_as_sent(frame)
        for group, room in tuple(self.rooms.items()):
            if (room.type_name, room.identifier.upper()) == (name[0], name[1].upper()):
                room_as_sent = room.name
                self._drop(group)
        self._member.deliver(frames.room_left(room=room_as_sent, reason="left", echo=echo))

    async def recheck(self, subject: Subject, groups: Sequence[str] | None = None) -> None:
        """Leave those of the rooms (by default all) that the subject may no longer enter."""
        joined = {group: room for group, room in self.rooms.items() if groups is None or group in groups}
        permitted = await room_registry.find(
            subject, [(room.type_name, room.identifier) for room in joined.values()]
        )
        for group, room in joined.items():
            if permitted.get((room.type_name, room.identifier)) != room and group in self.rooms:
                self._drop(group)
                self._member.deliver(frames.room_left(room=room.name, reason="forbidden"))

    def heads(self) -> dict[str, int]:
        """Return the head of every joined log room, by name."""
        joined = ((room.name, self._hub.rooms.get(group)) for group, room in self.rooms.items())
        return {name: room.delivered_seq for name, room in joined if isinstance(room, LogRoom)}

    def leave_all(self) -> None:
        """Leave every room, without an answer."""
        for group in tuple(self.rooms):
            self._drop(group)

    def _drop(self, group: str) -> None:
        del self.rooms[group]
        self._hub.leave(self._member, group)


def _join_request(fields: dict[str, Any], room: RoomName) -> JoinRequest:
    since, epoch = fields.get("since"), fields.get("epoch")
    if since is not None and (isinstance(since, bool) or not isinstance(since, int) or since < 0):
        raise InvalidFrame('"since" is the last seq you have, a whole number.')
    if epoch is not None and not isinstance(epoch, str):
        raise InvalidFrame('"epoch" is a string.')
    return JoinRequest(room, since, epoch)


def _room_as_sent(frame: dict[str, Any]) -> str:
    """Return the room as the client named it, cut to 80 characters."""
    return str(frame.get("room") or room_names.shipment_room(str(frame.get("shipmentId", ""))))[:80]
