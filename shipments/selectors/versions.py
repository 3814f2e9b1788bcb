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
from urllib.parse import parse_qsl

from django.db import connection

from shipments import lifecycle
from shipments.access import OVERSEERS
from shipments.models import EventType
from shipments.querysets import Viewer
from shipments.selectors import epoch

# Where more of an organisation's events than this wait for their number, counting them costs more than it saves.
MOST_UNNUMBERED: Final = 1_000


def sql_of(organizations: str) -> str:
    """This will return the SQL of the versions of what `organizations` selects as `asked(id)`, for `of_row`."""
    return f"""
SELECT asked.id,
       COALESCE((SELECT position FROM shipments_feedentry WHERE organization_id = asked.id
                 ORDER BY position DESC LIMIT 1), 0),
       (SELECT count(*) FROM (SELECT FROM shipments_unnumberedevent WHERE organization_id = asked.id
                              ORDER BY organization_id, event_id LIMIT {MOST_UNNUMBERED + 1}) AS waiting),
       ({epoch.SQL})
FROM {organizations} AS asked(id)
"""  # noqa: S608


SQL: Final = sql_of("unnest(%s::uuid[])")
# Where more has happened, reading the page costs less than looking for what has not.
_MOST_EVENTS: Final = 50
_SINCE: Final = f"""
SELECT event.shipment_id, event.type, event.status, before.status
FROM (SELECT event_id FROM shipments_feedentry WHERE organization_id = %(of)s AND position > %(numbered)s
      UNION ALL SELECT event_id FROM shipments_unnumberedevent WHERE organization_id = %(of)s) AS since
JOIN shipments_shipmentevent event ON event.id = since.event_id
LEFT JOIN shipments_shipmentevent before
       ON before.shipment_id = event.shipment_id AND before.seq = event.seq - 1
LIMIT {_MOST_EVENTS + 1}
"""  # noqa: S608
_COMES_OR_GOES: Final = frozenset({EventType.CREATED.value, EventType.DELETED.value})


class Version(NamedTuple):
    """How many events an organisation has, in which history, and how many of them are numbered."""

    events: int
    epoch: str
    numbered: int


def now(organization_id: uuid.UUID) -> Version | None:
    """This will return the version: no two states share `events` and `epoch`.

    Events are only ever added, and of two snapshots of one server one contains the other; so the same number
    means the same events. Numbered ones have the places 1…n without a gap, the others are counted in the same
    snapshot. None where too many wait for their number.
    """
    with connection.cursor() as cursor:
        cursor.execute(SQL, [[organization_id]])
        _, *row = cursor.fetchone()
    return of_row(row)


def of_row(row: Sequence[Any]) -> Version | None:
    """This will return the version that a row of `SQL` tells behind the organisation, None as `now` does."""
    numbered, waiting, history = row
    return Version(numbered + waiting, history, numbered) if waiting <= MOST_UNNUMBERED else None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of page for which events can tell: of all shipments, or of those in some states."""

    organization_id: uuid.UUID
    states: frozenset[str] | None


def kind(viewer: Viewer, asked: str) -> Kind | None:
    """This will return the kind of page that a path and query ask for, None where events cannot tell of it."""
    if viewer.role not in OVERSEERS:
        return None
    given = parse_qsl(asked.partition("?")[2], keep_blank_values=True)
    values = dict(given)
    if len(values) < len(given) or not values.keys() <= {"status", "limit"}:
        return None
    if "status" not in values:
        return Kind(viewer.organization_id, None)
    states = frozenset(values["status"].split(","))
    return Kind(viewer.organization_id, states) if states <= set(lifecycle.STATES) else None


def base(rows: Iterable[Mapping[str, Any]], version: Version) -> dict[str, Any]:
    """This will return what `stands` wants to know of a page; the version is of before the page was read."""
    return {"ids": [row["id"] for row in rows], "numbered": version.numbered, "epoch": version.epoch}


def stands(kind: Kind, page: Mapping[str, Any], version: Version) -> bool:
    """This will tell whether nothing that has been committed until now changes the page; one query."""
    if page["epoch"] != version.epoch:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_SINCE, {"of": kind.organization_id, "numbered": page["numbered"]})
        events = cursor.fetchall()
    shown = set(page["ids"])
    return len(events) <= _MOST_EVENTS and not any(_touches(event, kind, shown) for event in events)


def _touches(event: tuple[uuid.UUID | None, str, str, str | None], kind: Kind, shown: set[str]) -> bool:
    shipment_id, type_, state, before = event
    if shipment_id is None or str(shipment_id) in shown or type_ in _COMES_OR_GOES:
        return True
    return kind.states is not None and state != before and not kind.states.isdisjoint({state, before or ""})
