"""What the live board shows of the shipments that its viewer may see: rows, the map's movers, counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Count

from shipments import lifecycle, representation
from shipments.access import Subject
from shipments.selectors import epoch, shipments

ROWS: Final = 50
MOVERS: Final = 150  # with the rows not more than the 200 rooms of one socket
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
_MOVER_FIELDS: Final = (
    "reference", "status", "seq", "origin", "destination", "driver", "position", "eta", "plannedPickupAt",
    "createdAt", "updatedAt",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What the viewer wants to see: states (none: all) and a part of the reference."""

    statuses: tuple[str, ...]
    query: str

    @classmethod
    def read(cls, status: str, query: str) -> "Choice":
        """This will keep the states that exist, in their own order, and cut the query to a sane length."""
        named = set(status.split(","))
        known = tuple(state for state in lifecycle.STATES if state in named)
        return cls(known, query.replace("\0", "").strip()[:MAX_QUERY_LENGTH])


@dataclass(frozen=True)
class Line:
    """One row of the table: its JSON for the script, its times for the first paint."""

    shipment: representation.Json
    arrival: datetime | None  # the ETA; of a delivered one when it was
    updated_at: datetime

    @property
    def label(self) -> str:
        """The state as people read it."""
        return label(str(self.shipment["status"]))


def label(status: str) -> str:
    """This will write a state as people read it: `Out for delivery`."""
    return status.replace("_", " ").capitalize()


def lines(viewer: Subject, choice: Choice) -> list[Line]:
    """This will return the rows with the newest activity first."""
    found = shipments.visible(viewer)
    if choice.statuses:
        found = found.filter(status__in=choice.statuses)
    if choice.query:
        found = found.filter(reference__icontains=choice.query)
    rows = found.order_by("-updated_at", "-id").values(*representation.SHIPMENT_COLUMNS)[:ROWS]
    return [
        Line(representation.shipment(row, viewer.variant), arrival=_arrival(row), updated_at=row["updated_at"])
        for row in rows
    ]


def _arrival(row: representation.Row) -> datetime | None:
    if row["status"] in _NEVER_ARRIVES:
        return None
    at: datetime | None = (row["delivered_at"] if row["status"] == "delivered" else None) or row["eta"]
    return at


def document(viewer: Subject, shown: Sequence[Line]) -> dict[str, Any]:
    """This will return what the script works with: `{epoch, shipments, movers, counts}`."""
    today = epoch.current()  # before the rows: a promotion in between then only costs a snapshot
    return {
        "epoch": today,
        "shipments": [line.shipment for line in shown],
        "movers": _movers(viewer),
        "counts": counts(viewer),
    }


def counts(viewer: Subject) -> dict[str, int]:
    """This will count the visible shipments of each state, zeros included."""
    rows = shipments.visible(viewer).order_by().values("status").annotate(number=Count("id"))
    found = {row["status"]: row["number"] for row in rows}
    return {state: found.get(state, 0) for state in lifecycle.STATES}


def stages(numbers: dict[str, int], choice: Choice) -> list[dict[str, Any]]:
    """This will return the tiles above the table, each with its states and how many are in them."""
    return [
        {
            "name": name,
            "statuses": ",".join(states),
            "count": sum(numbers[state] for state in states),
            "chosen": bool(choice.statuses) and set(choice.statuses) <= set(states),
            "states": [{"status": state, "label": label(state), "count": numbers[state]} for state in states],
        }
        for name, states in STAGES
    ]


def _movers(viewer: Subject) -> list[representation.Json]:
    rows = (
        shipments.visible(viewer)
        .filter(status__in=lifecycle.IN_MOTION)
        .order_by("-updated_at", "-id")
        .values(*representation.SHIPMENT_COLUMNS)[:MOVERS]
    )
    shown = (representation.shipment(row, viewer.variant) for row in rows)
    return [{field: shipment[field] for field in _MOVER_FIELDS} for shipment in shown]
