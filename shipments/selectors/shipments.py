"""Blocking reads of shipments and their logs: rows ready for `representation`."""

import uuid
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from shipments import representation
from shipments.compiled_sql import one_shipment
from shipments.models import Checkpoint, Shipment, ShipmentEvent, TrackingLink
from shipments.querysets import EventQuerySet, LinkQuerySet, ShipmentQuerySet, Viewer


def visible_shipments(viewer: Viewer) -> ShipmentQuerySet:
    """Return the shipments that the viewer may see, to be filtered further."""
    return Shipment.objects.visible_to(viewer)


def get_shipment(viewer: Viewer, reference: str) -> dict[str, Any] | None:
    """Return the row of one shipment, None where it is missing or not visible to the viewer: one query."""
    return one_shipment.fetch_row(viewer, reference, representation.SHIPMENT_COLUMNS)


def events_of_shipment(shipment_id: uuid.UUID) -> EventQuerySet:
    """Return the events of a shipment; the caller has checked that it is visible."""
    return ShipmentEvent.objects.filter(shipment_id=shipment_id)


def visible_events(viewer: Viewer) -> EventQuerySet:
    """Return the events of all shipments that the viewer may see, to be filtered further."""
    rows: EventQuerySet = ShipmentEvent.objects.filter(organization_id=viewer.organization_id)
    if viewer.role in {"driver", "customer"}:
        return rows.filter(shipment__in=visible_shipments(viewer))
    return rows.filter(shipment__deleted_at=None, shipment__isnull=False)


def delivered_shipments(viewer: Viewer) -> ShipmentQuerySet:
    """Return the visible shipments that a driver has delivered, to be filtered further."""
    return visible_shipments(viewer).filter(driver__isnull=False, delivered_at__isnull=False)


def fetch_events(shipment_id: uuid.UUID, after: int, *, limit: int, variant: str) -> list[representation.Json]:
    """Return the first `limit` events of a shipment with `seq` above `after`, in order: one query."""
    rows = events_of_shipment(shipment_id).after_seq(after).values(*representation.event_columns(variant))
    return [representation.event(row, variant) for row in rows[:limit]]


def checkpoints_of_shipment(shipment_id: uuid.UUID) -> QuerySet[Checkpoint]:
    """Return the checkpoints of a shipment, in order; the caller has checked that it is visible."""
    return Checkpoint.objects.filter(shipment_id=shipment_id).select_related("location").order_by("seq")


def snapshot_as_of(viewer: Viewer, variant: str, reference: str, at: datetime) -> representation.Json | None:
    """Return the snapshot of a shipment at a time, None where it is not visible or had no event: two queries."""
    identifier = visible_shipments(viewer).with_reference(reference).values_list("id", flat=True).first()
    if identifier is None:
        return None
    snapshot: representation.Json = {}
    rows = (
        events_of_shipment(identifier)
        .after_seq(0)
        .filter(recorded_at__lte=at)
        .values(*representation.event_columns(variant))
    )
    for row in rows.iterator(chunk_size=500):
        snapshot = representation.apply_event(snapshot, representation.event(row, variant))
    return snapshot or None


def tracking_links(viewer: Viewer, shipment_id: uuid.UUID) -> LinkQuerySet:
    """Return the tracking links of a shipment that the viewer manages, newest first."""
    links: LinkQuerySet = TrackingLink.objects.visible_to(viewer).filter(shipment_id=shipment_id)
    return links.order_by("-created_at", "-id")
