"""A shipment's log and snapshot as clients see them."""

from typing import Any

from shipments import representation
from shipments.models import Shipment
from shipments.selectors import shipments as reads


def events_of(shipment: Shipment) -> list[dict[str, Any]]:
    rows = reads.events_of_shipment(shipment.pk).after_seq(0).values(*representation.EVENT_COLUMNS)
    return [representation.event(row, "staff") for row in rows]


def snapshot_of(shipment: Shipment) -> dict[str, Any]:
    row = Shipment.objects.filter(pk=shipment.pk).values(*representation.SHIPMENT_COLUMNS).get()
    return representation.snapshot(row)


def fold(events: list[dict[str, Any]]) -> dict[str, Any]:
    snapshot: dict[str, Any] = {}
    for event in events:
        snapshot = {**snapshot, **event["data"]["changes"], "seq": event["seq"], "updatedAt": event["recordedAt"]}
    return snapshot
