"""The status of a shipment as a fold over its observations and commands, and the graph that observations follow.

Commands are checked before they are recorded (`lifecycle`); observations are always recorded and then applied or
not. The status is a fold over the actual checkpoints and the accepted commands in the order `(effective_at, rank)`,
so it does not depend on the order in which carriers' messages arrive. Pure, without Django.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shipments.domain.lifecycle import STATES, TRANSITIONS

RANK: Final = {state: rank for rank, state in enumerate(STATES)}
_BEFORE_CUSTODY: Final = frozenset({"draft", "booked", "dispatched"})
# Scans on the way back to the sender: the freight keeps returning. Its delivery there is the return.
_STILL_RETURNING: Final = frozenset(
    {
        "in_transit",
        "at_facility",
        "out_for_delivery",
        "at_delivery",
        "delivery_attempted",
        "available_for_pickup",
    }
)
# A time that lies further before the booking is no time: a system without one sends the epoch of its clock (1970,
# 2000). Long enough for shipments that are booked here when they are nearly over.
MAX_BEFORE_BOOKING: Final = timedelta(days=180)


def _observation_edges() -> dict[str, frozenset[str]]:
    """Derive the observation graph from the table of commands.

    Removed: every edge out of `delivered`, `returning → in_transit`, every edge into `lost` (people declare loss),
    every edge back to draft, booked or dispatched. Added: the explicit return codes after delivery.
    """
    edges = {
        state: frozenset(
            to for to in after if to != "lost" and not (to in _BEFORE_CUSTODY and RANK[to] < RANK[state])
        )
        for state, after in TRANSITIONS.items()
    }
    edges["returning"] -= {"in_transit"}
    edges["delivered"] = frozenset({"returning", "returned"})
    return edges


def _transitive_closure(edges: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    reachable = {}
    for start in edges:
        visited: set[str] = set()
        pending = list(edges[start])
        while pending:
            state = pending.pop()
            if state not in visited:
                visited.add(state)
                pending.extend(edges[state])
        reachable[start] = frozenset(visited)
    return reachable


OBSERVATION_EDGES: Final = _observation_edges()
# Carriers' messages skip steps: every state ahead in the graph may be observed next.
REACHABLE: Final = _transitive_closure(OBSERVATION_EDGES)


@dataclass(frozen=True, slots=True)
class FoldEntry:
    """One actual checkpoint or accepted command; `key` identifies it to the caller."""

    key: object
    state: str
    effective_at: datetime
    is_command: bool

    @property
    def sort_key(self) -> tuple[datetime, int]:
        """The order of entries in a fold. Entries with equal keys have equal states and are interchangeable."""
        return self.effective_at, RANK[self.state]


@dataclass(frozen=True, slots=True)
class FoldResult:
    """The result of a fold: status, when it took effect, when it was delivered, keys of the applied entries.

    `newest` is the `sort_key` of the applied entry that comes last, None without one.
    """

    status: str
    effective_at: datetime
    delivered_at: datetime | None
    applied: frozenset[object]
    newest: tuple[datetime, int] | None = None


def fold(start: str, started_at: datetime, entries: Iterable[FoldEntry]) -> FoldResult:
    """Fold all entries in their order; one applies if its state may follow the status so far."""
    status, effective_at, delivered_at = start, started_at, None
    applied: set[object] = set()
    newest: tuple[datetime, int] | None = None
    for entry in sorted(entries, key=lambda each: each.sort_key):
        next_state = next_status(status, entry.state, is_command=entry.is_command)
        if next_state is None:
            continue
        applied.add(entry.key)
        newest = entry.sort_key
        effective_at = max(effective_at, entry.effective_at)
        if next_state == "delivered" and status != "delivered":
            delivered_at = entry.effective_at
        status = next_state
    return FoldResult(status, effective_at, delivered_at, frozenset(applied), newest)


def next_status(status: str, observed: str, *, is_command: bool) -> str | None:
    """Return the status after one entry, None where its state may not follow."""
    if is_command:
        return observed if observed in TRANSITIONS[status] else None
    if observed == status:
        return status
    if status == "returning" and observed in _STILL_RETURNING:
        return status
    if status in {"returning", "returned"} and observed == "delivered":
        return "returned"
    return observed if observed in REACHABLE[status] else None


def is_before_any_booking(occurred_at: datetime, booked_at: datetime) -> bool:
    """Tell whether a time lies so long before the booking that it cannot be one (MAX_BEFORE_BOOKING)."""
    return occurred_at < booked_at - MAX_BEFORE_BOOKING
