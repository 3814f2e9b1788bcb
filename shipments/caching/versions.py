"""Versions of an organisation's committed state, and whether a page of an older version is still current.

A cached page records its shipments and how far the feed was numbered when it was read. Events committed since have
a later position in the feed, or none yet. So a few events tell whether the page is current: it is if none of them

- is of a shipment on the page, or of the organisation itself (a driver or customer was renamed),
- creates or deletes a shipment,
- moves a shipment into or out of a state that the page is filtered by: also one behind the page, whose existence
  decides whether there is a next page.

That is exact for pages in the default ordering, filtered by state alone, of viewers who see every shipment. For all
other pages any event makes them stale.
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

# With more unnumbered events than this, counting them costs more than the cache saves.
MAX_UNNUMBERED: Final = 1_000


def version_sql(organizations: str) -> str:
    """Return the SQL of the versions of the organisations in a FROM item of ids; rows are for `version_of_row`."""
    return f"""
SELECT requested.id,
       COALESCE((SELECT position FROM shipments_feedentry WHERE organization_id = requested.id
                 ORDER BY position DESC LIMIT 1), 0),
       (SELECT count(*) FROM (SELECT FROM shipments_unnumberedevent WHERE organization_id = requested.id
                              ORDER BY organization_id, event_id LIMIT {MAX_UNNUMBERED + 1}) AS waiting),
       ({epoch.EPOCH_SQL})
FROM {organizations} AS requested(id)
"""  # noqa: S608  made of constants


VERSION_SQL: Final = version_sql("unnest(%s::uuid[])")
# With more events than this, reading the page again costs less than comparing.
_MAX_EVENTS: Final = 50
_EVENTS_SINCE_SQL: Final = f"""
SELECT event.shipment_id, event.type, event.status, before.status
FROM (SELECT event_id FROM shipments_feedentry WHERE organization_id = %(of)s AND position > %(numbered)s
      UNION ALL SELECT event_id FROM shipments_unnumberedevent WHERE organization_id = %(of)s) AS since
JOIN shipments_shipmentevent event ON event.id = since.event_id
LEFT JOIN shipments_shipmentevent before
       ON before.shipment_id = event.shipment_id AND before.seq = event.seq - 1
LIMIT {_MAX_EVENTS + 1}
"""  # noqa: S608  made of constants
_LIST_MEMBERSHIP_EVENTS: Final = frozenset({EventType.CREATED.value, EventType.DELETED.value})


class Version(NamedTuple):
    """The number of events of an organisation, in which epoch, and how many of them have a position in the feed."""

    events: int
    epoch: str
    numbered: int


def current_version(organization_id: uuid.UUID) -> Version | None:
    """Return the version of the committed state: no two states share `events` and `epoch`.

    Events are only inserted, and of two snapshots of one server one contains the other; so equal counts mean
    equal events. Numbered events have the positions 1…n without a gap, the others are counted in the same
    snapshot. None where too many are unnumbered. One query.
    """
    with connection.cursor() as cursor:
        cursor.execute(VERSION_SQL, [[organization_id]])
        _, *row = cursor.fetchone()
    return version_of_row(row)


def version_of_row(row: Sequence[Any]) -> Version | None:
    """Return the version in a row of `version_sql` without its first column, None as `current_version` does."""
    numbered, unnumbered, current_epoch = row
    return Version(numbered + unnumbered, current_epoch, numbered) if unnumbered <= MAX_UNNUMBERED else None


@dataclass(frozen=True, slots=True)
class TrackablePage:
    """What a page shows whose currency events can tell: all shipments, or those in some states."""

    organization_id: uuid.UUID
    states: frozenset[str] | None


def trackable_page(query: ListQuery) -> TrackablePage | None:
    """Return what the page of a query shows, None where events cannot tell whether it is current."""
    if query.scope.role not in ORGANIZATION_WIDE_ROLES or not query.texts.keys() <= {"status", "limit"}:
        return None
    states = query.filter_values.get("status")
    return TrackablePage(query.scope.organization_id, None if states is None else frozenset(states))


def page_baseline(rows: Iterable[Mapping[str, Any]], version: Version) -> dict[str, Any]:
    """Return what `is_page_current` needs of a page; the version was read before the page."""
    return {"ids": [row["id"] for row in rows], "numbered": version.numbered, "epoch": version.epoch}


def is_page_current(trackable: TrackablePage, page: Mapping[str, Any], version: Version) -> bool:
    """Tell whether no event committed since changes the page: one query."""
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
