"""The rooms of one socket: how it joins and leaves them."""

from collections.abc import Sequence
from typing import Any

from realtime import metrics, protocol, rooms
from realtime.hub import RoomHub
from realtime.protocol import BadFrame
from realtime.room import LogRoom, Member, Wish
from realtime.rooms import RoomName
from shipments.access import Subject


class Membership:
    """What one member is in, by group."""

    __slots__ = ("_hub", "_member", "rooms")

    def __init__(self, member: Member, hub: RoomHub) -> None:
        self.rooms: dict[str, RoomName] = {}
        self._member = member
        self._hub = hub

    async def join(self, subject: Subject, frame: dict[str, Any], echo: object) -> None:
        """This will act on a `join:room` of one or many rooms: each is answered once.

        Raises BadFrame, and what the database raises.
        """
        wanted = frame.get("rooms", [frame])
        if not isinstance(wanted, list) or not wanted or not all(isinstance(each, dict) for each in wanted):
            raise BadFrame('"rooms" is a list of objects.')
        if len(wanted) > protocol.MAX_ROOMS:
            raise BadFrame(f"At most {protocol.MAX_ROOMS} rooms in one frame.")
        named = [(each, rooms.asked(each)) for each in wanted]
        found = await rooms.find(subject, [name for _, name in named if name])
        wishes: dict[str, Wish] = {}
        for each, name in named:
            room = found.get(name) if name else None
            if room is None:
                self._member.deliver(protocol.no_such_room(echo=echo, room=_spoken(each)))
                continue
            wishes[room.group] = _wish(each, room)
        await self.enter(list(wishes.values()), echo)

    async def enter(self, wishes: Sequence[Wish], echo: object = None) -> None:
        """This will join rooms that were found and permitted, as many as a socket may have."""
        free = protocol.MAX_ROOMS - len(self.rooms)
        fitting = []
        for wish in wishes:
            new = wish.room.group not in self.rooms
            if new and free <= 0:
                metrics.limited("rooms")
                message = f"A socket is in at most {protocol.MAX_ROOMS} rooms."
                self._member.deliver(
                    protocol.error(code="too_many_rooms", message=message, echo=echo, room=wish.room.name)
                )
                continue
            free -= new
            fitting.append(wish)
        if fitting:
            # Noted before the answer, so that a disconnect meanwhile leaves what was entered.
            self.rooms |= {wish.room.group: wish.room for wish in fitting}
            await self._hub.join(self._member, fitting, echo=echo)

    def leave(self, frame: dict[str, Any], echo: object) -> None:
        """This will act on a `leave:room`; raises BadFrame where it names no room."""
        name = rooms.asked(frame)
        if name is None:
            raise BadFrame('Name the room: "shipmentId" or "room".')
        spoken = _spoken(frame)
        for group, room in tuple(self.rooms.items()):
            if (room.kind, room.about.upper()) == (name[0], name[1].upper()):
                spoken = room.name
                self._drop(group)
        self._member.deliver(protocol.left(room=spoken, reason="left", echo=echo))

    async def check(self, subject: Subject, groups: Sequence[str] | None = None) -> None:
        """This will put the member out of those of its rooms that the subject may not enter (any more)."""
        held = {group: room for group, room in self.rooms.items() if groups is None or group in groups}
        found = await rooms.find(subject, [(room.kind, room.about) for room in held.values()])
        for group, room in held.items():
            if found.get((room.kind, room.about)) != room and group in self.rooms:
                self._drop(group)
                self._member.deliver(protocol.left(room=room.name, reason="forbidden"))

    def heads(self) -> dict[str, int]:
        """This will return the head of every joined room that has numbers."""
        known = ((room.name, self._hub.rooms.get(group)) for group, room in self.rooms.items())
        return {name: room.told for name, room in known if isinstance(room, LogRoom)}

    def leave_all(self) -> None:
        """This will leave every room without a word."""
        for group in tuple(self.rooms):
            self._drop(group)

    def _drop(self, group: str) -> None:
        del self.rooms[group]
        self._hub.leave(self._member, group)


def _wish(asked: dict[str, Any], room: RoomName) -> Wish:
    since, epoch = asked.get("since"), asked.get("epoch")
    if since is not None and (isinstance(since, bool) or not isinstance(since, int) or since < 0):
        raise BadFrame('"since" is the last seq you have, a whole number.')
    if epoch is not None and not isinstance(epoch, str):
        raise BadFrame('"epoch" is a string.')
    return Wish(room, since, epoch)


def _spoken(frame: dict[str, Any]) -> str:
    """This will return a room as the client called it, cut to a sane length."""
    return str(frame.get("room") or rooms.shipment_room(str(frame.get("shipmentId", ""))))[:80]
