"""What the live board shows of the shipments that its viewer may see: rows, the map's movers, counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Count

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.domain import lifecycle
from shipments.selectors import epoch, shipments

MAX_ROWS: Final = 50
MAX_MOVING: Final = 150  # with the rows not more than the 200 rooms of one socket
MAX_QUERY_LENGTH: Final = 64
STAGES: Final = (
    ("Planned", ("draft", "booked")),
    ("Pickup", ("dispatched", "at_pickup")),
    ("On the way", ("in_transit", "at_facility")),
    (
        "Delivering",
        ("out_for_delivery", "at_delivery", "delivery_attempted", "available_for_pickup", "partially_delivered"),
    ),
    ("Delivered", ("delivered",)),
    ("Exceptions", ("returning", "returned", "cancelled", "lost")),
)
_NEVER_ARRIVES: Final = frozenset({"returned", "cancelled", "lost"})
_MOVING_FIELDS: Final = (
    "reference", "status", "seq", "origin", "destination", "driver", "position", "eta", "plannedPickupAt",
    "createdAt", "updatedAt",
)  # fmt: skip


@dataclass(frozen=True)
class BoardFilter:
    """What the viewer wants to see: states (none: all) and a part of the reference."""

    statuses: tuple[str, ...]
    query: str

    @classmethod
    def from_query(cls, status: str, query: str) -> "BoardFilter":
        """Keep the states that exist, in their own order, and cut the query to a sane length."""
        names = set(status.split(","))
        statuses = tuple(state for state in lifecycle.STATES if state in names)
        return cls(statuses, query.replace("\0", "").strip()[:MAX_QUERY_LENGTH])


@dataclass(frozen=True)
class BoardRow:
    """One row of the table: its JSON for the script, its times for the first paint."""

    shipment: representation.Json
    arrival: datetime | None  # the ETA; of a delivered one when it was
    updated_at: datetime

    @property
    def label(self) -> str:
        """The state as people read it."""
        return status_label(str(self.shipment["status"]))


def status_label(status: str) -> str:
    """Write a state as people read it: `Out for delivery`."""
    return status.replace("_", " ").capitalize()


def board_rows(viewer: Subject, board_filter: BoardFilter) -> list[BoardRow]:
    """Return the rows with the newest activity first."""
    queryset = shipments.visible_shipments(viewer)
    if board_filter.statuses:
        queryset = queryset.filter(status__in=board_filter.statuses)
    if board_filter.query:
        queryset = queryset.filter(reference__icontains=board_filter.query)
    rows = queryset.order_by("-updated_at", "-id").values(*representation.SHIPMENT_COLUMNS)[:MAX_ROWS]
    return [
        BoardRow(representation.shipment(row, viewer.variant), arrival=_arrival(row), updated_at=row["updated_at"])
        for row in rows
    ]


def _arrival(row: representation.Row) -> datetime | None:
    if row["status"] in _NEVER_ARRIVES:
        return None
    at: datetime | None = (row["delivered_at"] if row["status"] == "delivered" else None) or row["eta"]
    return at


def board_document(viewer: Subject, rows: Sequence[BoardRow]) -> dict[str, Any]:
    """Return what the script works with: `{epoch, shipments, movers, counts}`."""
    current_epoch = epoch.current()  # before the rows: a promotion in between then only costs a snapshot
    return {
        "epoch": current_epoch,
        "shipments": [line.shipment for line in rows],
        "movers": _moving_shipments(viewer),
        "counts": counts(viewer),
    }


def counts(viewer: Subject) -> dict[str, int]:
    """Count the visible shipments of each state, zeros included."""
    rows = shipments.visible_shipments(viewer).order_by().values("status").annotate(number=Count("id"))
    count_by_status = {row["status"]: row["number"] for row in rows}
    return {state: count_by_status.get(state, 0) for state in lifecycle.STATES}


def stages(count_by_status: dict[str, int], board_filter: BoardFilter) -> list[dict[str, Any]]:
    """Return the tiles above the table, each with its states and how many are in them."""
    return [
        {
            "name": name,
            "statuses": ",".join(states),
            "count": sum(count_by_status[state] for state in states),
            "chosen": bool(board_filter.statuses) and set(board_filter.statuses) <= set(states),
            "states": [
                {"status": state, "label": status_label(state), "count": count_by_status[state]} for state in states
            ],
        }
        for name, states in STAGES
    ]


def _moving_shipments(viewer: Subject) -> list[representation.Json]:
    rows = (
        shipments.visible_shipments(viewer)
        .filter(status__in=lifecycle.IN_MOTION)
        .order_by("-updated_at", "-id")
        .values(*representation.SHIPMENT_COLUMNS)[:MAX_MOVING]
    )
    payloads = (representation.shipment(row, viewer.variant) for row in rows)
    return [{field: shipment[field] for field in _MOVING_FIELDS} for shipment in payloads]
