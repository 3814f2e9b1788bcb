"""Listens to shipments: a committed event becomes a frame, encoded once, and a hint."""

import uuid
from typing import Any

from realtime.protocol import frames, room_names
from realtime.publishing import publisher
from shipments.selectors import epoch


def publish_event(
    *, organization_id: uuid.UUID, event: dict[str, Any], shipment: dict[str, Any], **_: object
) -> None:
    """Hint a committed event to every hub that has members in the shipment's room."""
    current_epoch = epoch.current()
    publisher.publish_hint(
        room_names.shipment_group(organization_id, shipment["reference"]),
        seq=event["seq"],
        epoch=current_epoch,
        frame=event_frame(current_epoch, event, shipment),
        ends=event["type"] == "deleted",
        reassigns=frames.is_reassignment(event),
    )


def event_frame(current_epoch: str, event: dict[str, Any], shipment: dict[str, Any]) -> bytes:
    """Return the frame of an event, encoded once for every socket of every process."""
    reference = shipment["reference"]
    return frames.update(
        room=room_names.shipment_room(reference),
        reference=reference,
        epoch=current_epoch,
        seq=event["seq"],
        event=event,
        shipment=shipment,
    )


def publish_access_change(*, user_id: uuid.UUID, **_: object) -> None:
    """Let the living sockets of a user look again at what they may."""
    publisher.publish_recheck(user_id)


def publish_link_revoked(*, link_id: uuid.UUID, **_: object) -> None:
    """Let the living sockets of a tracking link look again whether it is good."""
    publisher.publish_recheck(link_id)


def publish_feed_head(*, organization_id: uuid.UUID, position: int, **_: object) -> None:
    """Hint that an organisation's feed has grown; the hubs read what by themselves."""
    publisher.publish_hint(
        room_names.feed_group(organization_id), seq=position, epoch=epoch.current(), frame=None, ends=False
    )


def publish_position(*, driver_id: uuid.UUID, position: dict[str, Any], version: int, **_: object) -> None:
    """Publish where a driver is now; a later position overtakes it."""
    publisher.publish_latest(
        room_names.driver_group(driver_id), version=version, frame=frames.driver_location(position)
    )


def publish_export_progress(*, export_id: uuid.UUID, value: dict[str, Any], version: int, **_: object) -> None:
    """Publish how far a background export is."""
    publisher.publish_latest(
        room_names.export_group(export_id), version=version, frame=frames.export_progress(value)
    )


def publish_import_progress(*, import_id: uuid.UUID, value: dict[str, Any], version: int, **_: object) -> None:
    """Publish how far an import is."""
    publisher.publish_latest(
        room_names.import_group(import_id), version=version, frame=frames.import_progress(value)
    )
