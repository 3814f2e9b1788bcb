"""Blocking reads of the organisation feed."""

import uuid
from typing import Any

from django.db.models import Max

from shipments import representation
from shipments.models import FeedEntry
from shipments.querysets import Viewer


def entries_queryset(organization_id: uuid.UUID, position: int, *, limit: int) -> Any:
    """Return the entries of an organisation's feed after a position, in order.

    The caller has checked that the viewer sees every shipment. Positions become visible in their order, so no entry
    can appear before the last one read.
    """
    return FeedEntry.objects.filter(organization_id=organization_id, position__gt=position).order_by("position")[
        :limit
    ]


def fetch_entries(viewer: Viewer, position: int, *, limit: int) -> list[representation.Json]:
    """Return the entries after a position as JSON: one query."""
    return [
        representation.feed_entry(row)
        for row in entries_queryset(viewer.organization_id, position, limit=limit).values(
            *representation.FEED_COLUMNS
        )
    ]


def head_position(viewer: Viewer) -> int:
    """Return the newest position of the viewer's organisation, 0 for an empty feed."""
    aggregates = FeedEntry.objects.filter(organization_id=viewer.organization_id).aggregate(newest=Max("position"))
    return aggregates["newest"] or 0
