"""Every room and group name, one function each."""

import base64
import uuid

from shipments.identifiers import REFERENCE

_SHIPMENT = "shipment:"


def shipment_room(reference: str) -> str:
    """This will return the name by which clients know a shipment's room."""
    return f"{_SHIPMENT}{reference}"


def shipment_group(organization_id: uuid.UUID, reference: str) -> str:
    """This will return the channel layer's group of a shipment's room: organisation first, ≤ 96 characters.

    Group names allow letters, digits, `-`, `_` and `.` and fewer than 100 of them, so the organisation is
    written in 22 characters of base64url and the colons become dots.
    """
    key = base64.urlsafe_b64encode(organization_id.bytes).rstrip(b"=").decode()
    return f"shipment.{key}.{reference.upper()}"


def reference_in(frame: dict[str, object]) -> str | None:
    """This will return the reference that a join or leave names, None where it names none."""
    named = frame.get("shipmentId")
    room = frame.get("room")
    if named is None and isinstance(room, str) and room.startswith(_SHIPMENT):
        named = room.removeprefix(_SHIPMENT)
    return named if isinstance(named, str) and REFERENCE.fullmatch(named) else None
