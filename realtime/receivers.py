"""Listens to shipments: a committed event becomes a frame, encoded once, and a hint."""

import uuid
from typing import Any

from realtime import broadcast, protocol, rooms
from shipments.selectors import epoch


def announce(*, organization_id: uuid.UUID, event: dict[str, Any], shipment: dict[str, Any], **_: object) -> None:
    """This will hint a committed event to every hub that has members in the shipment's room."""
    today = epoch.current()
    broadcast.hint(
        rooms.shipment_group(organization_id, shipment["reference"]),
        seq=event["seq"],
        epoch=today,
        frame=frame(today, event, shipment),
        ends=event["type"] == "deleted",
        reassigns=protocol.reassigns(event),
    )


def frame(today: str, event: dict[str, Any], shipment: dict[str, Any]) -> bytes:
    """This will return the frame of an event, encoded once for every socket of every process."""
    reference = shipment["reference"]
    return protocol.update(
        room=rooms.shipment_room(reference),
        reference=reference,
        epoch=today,
        seq=event["seq"],
        event=event,
        shipment=shipment,
    )


def announce_access(*, user_id: uuid.UUID, **_: object) -> None:
    """This will let the living sockets of a user look again at what they may."""
    broadcast.control(user_id)


def announce_link(*, link_id: uuid.UUID, **_: object) -> None:
    """This will let the living sockets of a tracking link look again whether it is good."""
    broadcast.control(link_id)


def announce_feed(*, organization_id: uuid.UUID, position: int, **_: object) -> None:
    """This will hint that an organisation's feed has grown; the hubs read what by themselves."""
    broadcast.hint(rooms.feed_group(organization_id), seq=position, epoch=epoch.current(), frame=None, ends=False)


def announce_position(*, driver_id: uuid.UUID, position: dict[str, Any], version: int, **_: object) -> None:
    """This will publish where a driver is now; a later position overtakes it."""
    broadcast.latest(rooms.driver_group(driver_id), version=version, frame=protocol.driver_location(position))


def announce_export(*, export_id: uuid.UUID, value: dict[str, Any], version: int, **_: object) -> None:
    """This will publish how far a background export is."""
    broadcast.latest(rooms.export_group(export_id), version=version, frame=protocol.export_progress(value))


def announce_import(*, import_id: uuid.UUID, value: dict[str, Any], version: int, **_: object) -> None:
    """This will publish how far an import is."""
    broadcast.latest(rooms.import_group(import_id), version=version, frame=protocol.import_progress(value))
