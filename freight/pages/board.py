"""The live board: the page, the JSON that its script polls, and the queries behind both.

Every query starts from `shipments.visible_shipments`, so a viewer gets the rows that the REST API would give.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles import finders
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from freight.pages import navigation
from monitoring import clock
from shipments import representation
from shipments.auth.subjects import Subject
from shipments.domain import lifecycle
from shipments.selectors import epoch, shipments

MAX_ROWS: Final = 50
MAX_MOVING: Final = 150  # with MAX_ROWS: the 200 rooms that one socket may join
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
    """The filter in the page's query string: states (empty: all) and a substring of the reference."""

    statuses: tuple[str, ...]
    query: str

    @classmethod
    def from_query(cls, status: str, query: str) -> "BoardFilter":
        """Drop unknown states, put the others in lifecycle order, and cut the query to MAX_QUERY_LENGTH."""
        names = set(status.split(","))
        statuses = tuple(state for state in lifecycle.STATES if state in names)
        return cls(statuses, query.replace("\0", "").strip()[:MAX_QUERY_LENGTH])


@dataclass(frozen=True)
class BoardRow:
    """One row of the table: its JSON for the script, its times for the server's first rendering."""

    shipment: representation.Json
    arrival: datetime | None  # the time of delivery where it is delivered, else the ETA
    updated_at: datetime

    @property
    def label(self) -> str:
        """The label of its state."""
        return status_label(str(self.shipment["status"]))


@require_GET
@never_cache
@login_required
def board(request: HttpRequest) -> HttpResponse:
    """Render the live board complete; its script keeps it up to date over a WebSocket."""
    viewer = navigation.viewer_of(request)
    board_filter = _filter_of(request)
    rows, document = load_board(viewer, board_filter)
    return render(
        request,
        "board/board.html",
        {
            **navigation.context_for(viewer, "board"),
            "choice": board_filter,
            "lines": rows,
            "document": document,
            "total": sum(document["counts"].values()),
            # Built by `manage.py build_map`; without it the map has no coastlines.
            "coast": finders.find("map/world.json"),
            "stages": stages(document["counts"], board_filter),
        },
    )


@require_GET
@never_cache
def board_json(request: HttpRequest) -> HttpResponse:
    """Return the script's state of `load_board` as JSON; 401 without a session, since `fetch` follows redirects."""
    if not request.user.is_authenticated:
        return JsonResponse({"title": "The session has ended."}, status=401)
    _, document = load_board(navigation.viewer_of(request), _filter_of(request))
    return JsonResponse(document)


def _filter_of(request: HttpRequest) -> BoardFilter:
    return BoardFilter.from_query(request.GET.get("status", ""), request.GET.get("q", ""))


def status_label(status: str) -> str:
    """Return the label of a state: `out_for_delivery` is `Out for delivery`."""
    return status.replace("_", " ").capitalize()


def board_rows(viewer: Subject, board_filter: BoardFilter) -> list[BoardRow]:
    """Return the first MAX_ROWS matching shipments, latest activity first."""
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


def load_board(viewer: Subject, board_filter: BoardFilter) -> tuple[list[BoardRow], dict[str, Any]]:
    """Return the rows, and the script's state `{serverTime, epoch, shipments, movers, counts}`.

    `serverTime` is from before the rows were read: what is created later is new to the script.
    """
    server_time = representation.instant(clock.now())
    current_epoch = epoch.current()  # before the rows: a promotion in between then costs a snapshot, not an event
    rows = board_rows(viewer, board_filter)
    return rows, {
        "serverTime": server_time,
        "epoch": current_epoch,
        "shipments": [row.shipment for row in rows],
        "movers": _moving_shipments(viewer),
        "counts": counts(viewer),
    }


def counts(viewer: Subject) -> dict[str, int]:
    """Return the number of visible shipments in every state, zeros included; the filter does not apply."""
    rows = shipments.visible_shipments(viewer).order_by().values("status").annotate(number=Count("id"))
    count_by_status = {row["status"]: row["number"] for row in rows}
    return {state: count_by_status.get(state, 0) for state in lifecycle.STATES}


def stages(count_by_status: dict[str, int], board_filter: BoardFilter) -> list[dict[str, Any]]:
    """Return the tiles above the table: each stage with its states and their counts."""
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
