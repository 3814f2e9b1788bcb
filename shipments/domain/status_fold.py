"""How evidence moves a shipment: the observation graph and the fold. Pure, without Django.

Commands are gated (`lifecycle`); observations are recorded and then judged. The status is a fold over the
actual checkpoints and the accepted commands in the order `(effective_at, rank)`, so that it does not depend on
the order in which carriers' messages arrive.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shipments.domain.lifecycle import STATES, TRANSITIONS

RANK: Final = {state: rank for rank, state in enumerate(STATES)}
_BEFORE_CUSTODY: Final = frozenset({"draft", "booked", "dispatched"})
# Scans on the way back: the parcel is in a facility, and still returning.
_STILL_RETURNING: Final = frozenset({"in_transit", "at_facility"})


def _observation_edges() -> dict[str, frozenset[str]]:
    """Derive the observation graph from the command table, as lifecycle rules say.

    Without: every edge out of `delivered`, `returning → in_transit`, every edge into `lost` (people declare
    loss), every edge back into draft, booked or dispatched. With: the explicit return codes after delivery.
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
# Feeds skip steps, so whatever lies ahead in the graph may be observed next.
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
        """Its place in the fold. Equal places with equal states are interchangeable."""
        return self.effective_at, RANK[self.state]


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a fold says: the status, when it took effect, when it was delivered, and which entries applied."""

    status: str
    effective_at: datetime
    delivered_at: datetime | None
    applied: frozenset[object]


def fold(start: str, started_at: datetime, entries: Iterable[FoldEntry]) -> FoldResult:
    """Judge all entries in their order; each applies iff it may follow the state so far."""
    status, effective_at, delivered_at = start, started_at, None
    applied: set[object] = set()
    for entry in sorted(entries, key=lambda each: each.sort_key):
        next_state = next_status(status, entry.state, is_command=entry.is_command)
        if next_state is None:
            continue
        applied.add(entry.key)
        effective_at = max(effective_at, entry.effective_at)
        if next_state == "delivered" and status != "delivered":
            delivered_at = entry.effective_at
        status = next_state
    return FoldResult(status, effective_at, delivered_at, frozenset(applied))


def next_status(status: str, observed: str, *, is_command: bool) -> str | None:
    """Return the state after one entry, None where it may not follow."""
    if is_command:
        return observed if observed in TRANSITIONS[status] else None
    if observed == status:
        return status
    if status == "returning" and observed in _STILL_RETURNING:
        return status
    return observed if observed in REACHABLE[status] else None
