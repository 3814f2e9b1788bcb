"""Receivers of the lower apps' signals, which publish hints; freight.wiring connects them.

All are called after COMMIT, return at once and never raise.

The way of a transition to the socket, in the order of its folders:

1. shipments/api/shipments: `TransitionsView.post` parses the request and calls `services.advance`.
2. shipments/services/shipments: `advance` locks and saves the row; `log.record` inserts the event; COMMIT.
3. shipments/log.py: on commit `_publish_event` sends `signals.event_committed`, which freight.wiring connects.
4. realtime/publishing: `receivers.publish_event` encodes the frame; `Publisher` sends it as a hint through Redis.
5. realtime/hub, in each process: `Subscription` calls `RoomHub.handle_message`; `LogRoom.apply_hint` appends the
   frame; `RoomFlusher` flushes it to `delivery.broadcast`, and so to each socket's `SendBuffer`
   (freight/server/websocket) or, on another server, to `SocketConsumer.deliver` (realtime/connections).
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from realtime.protocol import frames, room_names
from realtime.publishing import publisher
from shipments.selectors import epoch


def publish_event(
    *,
    organization_id: uuid.UUID,
    shipment_id: uuid.UUID,
    event: dict[str, Any],
    shipment: dict[str, Any],
    **_: object,
) -> None:
    """Publish a committed event, as its REST representation and the shipment's summary, to the shipment's room."""
    current_epoch = epoch.current()
    publisher.publish_hint(
        room_names.shipment_group(organization_id, shipment["reference"]),
        seq=event["seq"],
        epoch=current_epoch,
        frame=event_frame(current_epoch, event, shipment),
        ends=event["type"] == "deleted",
        reassigns=frames.is_reassignment(event),
        key=shipment_id,
    )


def event_frame(current_epoch: str, event: dict[str, Any], shipment: dict[str, Any]) -> bytes:
    """Return the frame of an event: encoded once, for every socket of every process."""
    reference = shipment["reference"]
    return frames.update(
        room=room_names.shipment_room(reference),
        reference=reference,
        epoch=current_epoch,
        seq=event["seq"],
        event=event,
        shipment=shipment,
    )


def publish_organization_event(**_: object) -> None:
    """Publish that an organisation's feed has an event of no shipment."""
    publisher.publish_unnumbered()


def publish_access_change(*, user_id: uuid.UUID, **_: object) -> None:
    """Publish that the access of a user changed, so that open sockets are re-checked."""
    publisher.publish_recheck(user_id)


def publish_link_revoked(*, link_id: uuid.UUID, **_: object) -> None:
    """Publish that a tracking link was revoked, so that open sockets are re-checked."""
    publisher.publish_recheck(link_id)


def publish_feed_entries(
    *,
    organization_id: uuid.UUID,
    position: int,
    after: int,
    committed_after: float,
    entries: Sequence[Mapping[str, Any]],
    **_: object,
) -> None:
    """Publish the new entries of an organisation's feed, or its head alone where hubs are to read them."""
    current_epoch, group = epoch.current(), room_names.feed_group(organization_id)
    for entry in entries:
        number = entry["position"]
        recorded_at = datetime.fromisoformat(entry["recordedAt"]).timestamp()
        publisher.publish_hint(
            group,
            seq=number,
            epoch=current_epoch,
            frame=frames.feed_update(room=room_names.FEED, epoch=current_epoch, entry=dict(entry)),
            committed_at=max(recorded_at, committed_after),
            numbered={"after": number - 1, "since": committed_after},
            key=organization_id,
        )
    if not entries:
        publisher.publish_hint(
            group,
            seq=position,
            epoch=current_epoch,
            frame=None,
            numbered={"after": after, "since": committed_after},
            key=organization_id,
        )


def publish_position(*, driver_id: uuid.UUID, position: dict[str, Any], version: int, **_: object) -> None:
    """Publish a driver's newest position; `version` orders positions."""
    publisher.publish_latest(
        room_names.driver_group(driver_id), version=version, frame=frames.driver_location(position)
    )


def publish_export_progress(*, export_id: uuid.UUID, value: dict[str, Any], version: int, **_: object) -> None:
    """Publish the progress of a background export."""
    publisher.publish_latest(
        room_names.export_group(export_id), version=version, frame=frames.export_progress(value)
    )


def publish_import_progress(*, import_id: uuid.UUID, value: dict[str, Any], version: int, **_: object) -> None:
    """Publish the progress of an import."""
    publisher.publish_latest(
        room_names.import_group(import_id), version=version, frame=frames.import_progress(value)
    )
