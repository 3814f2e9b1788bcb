"""What is committed in an organisation now, and whether a page that was read some commits ago still stands.

A page names its shipments and how far the feed was numbered when it was read. Whatever was committed since has a
later number, or none yet; so a few events tell whether the page stands. It does where none of them

- is of a shipment that it shows, or of the organisation itself (a driver or customer is called otherwise),
- books or discards a shipment,
- brings a shipment into a state that the page is narrowed to, or out of it: also one that would stand behind the
  page, since it says whether there is another.

That is exact for pages narrowed by state alone, in their usual order, for those who see every shipment. Of all
others any event is the end.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection

from shipments.auth.subjects import ORGANIZATION_WIDE_ROLES
from shipments.models import EventType
from shipments.selectors import epoch
from shipments.selectors.lists.query import ListQuery

# Where more of an organisation's events than this wait for their number, counting them costs more than it saves.
MAX_UNNUMBERED: Final = 1_000


def version_sql(organizations: str) -> str:
    """Return the SQL of the versions of what `organizations` selects as `asked(id)`, for `of_row`."""
    return f"""
SELECT asked.id,
       COALESCE((SELECT position FROM shipments_feedentry WHERE organization_id = asked.id
                 ORDER BY position DESC LIMIT 1), 0),
       (SELECT count(*) FROM (SELECT FROM shipments_unnumberedevent WHERE organization_id = asked.id
                              ORDER BY organization_id, event_id LIMIT {MAX_UNNUMBERED + 1}) AS waiting),
       ({epoch.EPOCH_SQL})
FROM {organizations} AS asked(id)
"""


VERSION_SQL: Final = version_sql("unnest(%s::uuid[])")
# Where more has happened, reading the page costs less than looking for what has not.
_MAX_EVENTS: Final = 50
_EVENTS_SINCE_SQL: Final = f"""
SELECT event.shipment_id, event.type, event.status, before.status
FROM (SELECT event_id FROM shipments_feedentry WHERE organization_id = %(of)s AND position > %(numbered)s
      UNION ALL SELECT event_id FROM shipments_unnumberedevent WHERE organization_id = %(of)s) AS since
JOIN shipments_shipmentevent event ON event.id = since.event_id
LEFT JOIN shipments_shipmentevent before
       ON before.shipment_id = event.shipment_id AND before.seq = event.seq - 1
LIMIT {_MAX_EVENTS + 1}
"""
_LIST_MEMBERSHIP_EVENTS: Final = frozenset({EventType.CREATED.value, EventType.DELETED.value})


class Version(NamedTuple):
    """How many events an organisation has, in which history, and how many of them are numbered."""

    events: int
    epoch: str
    numbered: int


def current_version(organization_id: uuid.UUID) -> Version | None:
    """Return the version: no two states share `events` and `epoch`.

    Events are only ever added, and of two snapshots of one server one contains the other; so the same number
    means the same events. Numbered ones have the places 1…n without a gap, the others are counted in the same
    snapshot. None where too many wait for their number.
    """
    with connection.cursor() as cursor:
        cursor.execute(VERSION_SQL, [[organization_id]])
        _, *row = cursor.fetchone()
    return version_of_row(row)


def version_of_row(row: Sequence[Any]) -> Version | None:
    """Return the version that a row of `SQL` tells behind the organisation, None as `now` does."""
    numbered, unnumbered, history = row
    return Version(numbered + unnumbered, history, numbered) if unnumbered <= MAX_UNNUMBERED else None


@dataclass(frozen=True, slots=True)
class TrackablePage:
    """A kind of page for which events can tell: of all shipments, or of those in some states."""

    organization_id: uuid.UUID
    states: frozenset[str] | None


def trackable_page(query: ListQuery) -> TrackablePage | None:
    """Return what events tell of the page of a query, None where they cannot tell whether it is current."""
    if query.scope.role not in ORGANIZATION_WIDE_ROLES or not query.texts.keys() <= {"status", "limit"}:
        return None
    states = query.filter_values.get("status")
    return TrackablePage(query.scope.organization_id, None if states is None else frozenset(states))


def page_baseline(rows: Iterable[Mapping[str, Any]], version: Version) -> dict[str, Any]:
    """Return what `stands` wants to know of a page; the version is of before the page was read."""
    return {"ids": [row["id"] for row in rows], "numbered": version.numbered, "epoch": version.epoch}


def is_page_current(trackable: TrackablePage, page: Mapping[str, Any], version: Version) -> bool:
    """Tell whether nothing that has been committed until now changes the page; one query."""
    if page["epoch"] != version.epoch:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS_SINCE_SQL, {"of": trackable.organization_id, "numbered": page["numbered"]})
        events = cursor.fetchall()
    page_ids = set(page["ids"])
    return len(events) <= _MAX_EVENTS and not any(_affects(event, trackable, page_ids) for event in events)


def _affects(
    event: tuple[uuid.UUID | None, str, str, str | None], trackable: TrackablePage, page_ids: set[str]
) -> bool:
    shipment_id, type_, state, previous_state = event
    if shipment_id is None or str(shipment_id) in page_ids or type_ in _LIST_MEMBERSHIP_EVENTS:
        return True
    return (
        trackable.states is not None
        and state != previous_state
        and not trackable.states.isdisjoint({state, previous_state or ""})
    )
