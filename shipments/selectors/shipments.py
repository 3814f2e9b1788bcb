"""Reads for synchronous callers: rows ready for `representation`."""

import uuid
from datetime import datetime
from typing import Any

from shipments import representation
from shipments.models import Shipment, ShipmentEvent
from shipments.querysets import EventQuerySet, ShipmentQuerySet, Viewer


def visible(viewer: Viewer) -> ShipmentQuerySet:
    """This will return the shipments that the viewer may see, to be filtered further."""
    return Shipment.objects.visible_to(viewer)


def get(viewer: Viewer, reference: str) -> dict[str, Any] | None:
    """This will return the row of one shipment, None where it is missing or not for the viewer: one query."""
    row: dict[str, Any] | None = visible(viewer).named(reference).values(*representation.SHIPMENT_COLUMNS).first()
    return row


def log_of(shipment_id: uuid.UUID) -> EventQuerySet:
    """This will return the log of a shipment that the caller has found visible."""
    return ShipmentEvent.objects.filter(shipment_id=shipment_id)


def as_of(viewer: Viewer, reference: str, at: datetime) -> representation.Json | None:
    """This will return the snapshot that the log told at a time, None where there was nothing to tell."""
    identifier = visible(viewer).named(reference).values_list("id", flat=True).first()
    if identifier is None:
        return None
    told: representation.Json = {}
    rows = log_of(identifier).after(0).filter(recorded_at__lte=at).values(*representation.EVENT_COLUMNS)
    for row in rows.iterator(chunk_size=500):
        told = representation.after(told, representation.event(row))
    return told or None
