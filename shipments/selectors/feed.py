"""Reads of the organisation feed."""

import uuid
from typing import Any, Final

from django.db.models import Max

from shipments import representation
from shipments.models import FeedEntry
from shipments.querysets import Viewer

FEED_COLUMNS: Final = (
    *(f"event__{column}" for column in representation.EVENT_COLUMNS),
    "event__shipment__reference",
    "position",
)


def entries_queryset(organization_id: uuid.UUID, position: int, *, limit: int) -> Any:
    """Return the feed of an organisation behind a position, in order.

    The caller has checked that the viewer sees every shipment. Positions become visible in their order, so
    what is behind the last one read is all that is new.
    """
    return FeedEntry.objects.filter(organization_id=organization_id, position__gt=position).order_by("position")[
        :limit
    ]


def entry_json(row: representation.Row) -> representation.Json:
    """Return one entry: the event as everywhere, its shipment's reference and its position."""
    event = {column: row[f"event__{column}"] for column in representation.EVENT_COLUMNS}
    return representation.event(event) | {
        "shipmentId": row["event__shipment__reference"],
        "position": row["position"],
    }


def fetch_entries(viewer: Viewer, position: int, *, limit: int) -> list[representation.Json]:
    """Return the entries behind a position: one query."""
    return [
        entry_json(row)
        for row in entries_queryset(viewer.organization_id, position, limit=limit).values(*FEED_COLUMNS)
    ]


def head_position(viewer: Viewer) -> int:
    """Return the newest position of the viewer's organisation, 0 where nothing is numbered."""
    aggregates = FeedEntry.objects.filter(organization_id=viewer.organization_id).aggregate(newest=Max("position"))
    return aggregates["newest"] or 0
