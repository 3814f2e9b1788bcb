"""Reads on event loops, through `async_pool`: no WebSocket waits for a thread."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db.models import F, Value
from django.db.models.expressions import RawSQL

from shipments import representation
from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.auth.tokens import Claims
from shipments.models import Driver, Shipment, ShipmentEvent
from shipments.querysets import EqualsAny, Viewer, VisibilityScope
from shipments.selectors import async_pool
from shipments.selectors import epoch as epochs
from shipments.selectors import feed as feeds
from shipments.selectors.feed import FeedPage, FeedQuery
from shipments.selectors.positions import POSITIONS_SQL


async def _fetch_values(columns: Sequence[str], queryset: Any) -> list[dict[str, Any]]:
    """Return the `.values()` of a queryset, which the ORM compiles and the asynchronous pool executes."""
    try:
        sql, params = queryset.values_list(*columns).query.sql_with_params()
    except EmptyResultSet:
        return []  # no query needed: an empty list, or a viewer who sees nothing
    return [dict(zip(columns, row, strict=True)) for row in await async_pool.fetch(sql, params)]


async def _fetch_compiled(statement: tuple[str, tuple[Any, ...]], keys: Collection[object]) -> Any:
    """Return the rows of a statement that was compiled with _PLACEHOLDER, for these keys."""
    sql, params = statement
    return await async_pool.fetch(sql, [list(keys) if param == _PLACEHOLDER else param for param in params])


async def current_epoch() -> str:
    """Read the epoch now."""
    return str((await async_pool.fetch(epochs.EPOCH_SQL))[0][0])


async def subjects_of_claims(batch: Collection[Claims]) -> dict[Claims, Subject]:
    """Return the current subjects of these access tokens; those that are no longer valid are left out."""
    rows = {
        row[0]: row for row in await async_pool.fetch(bearers.LOGINS_SQL, [[claims.login_id for claims in batch]])
    }
    subjects = {claims: bearers.subject_of_login(claims, rows.get(claims.login_id)) for claims in batch}
    return {claims: subject for claims, subject in subjects.items() if subject is not None}


async def changed_access(known: Mapping[uuid.UUID, int], links: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Return the users whose `access_version` is not the known one, and the links that have ended: one query."""
    rows = await async_pool.fetch(
        "SELECT known.id FROM unnest(%s::uuid[], %s::int[]) AS known(id, version)"
        " LEFT JOIN shipments_user person USING (id) WHERE person.access_version IS DISTINCT FROM known.version"
        " UNION ALL SELECT link.id FROM shipments_trackinglink link"
        " JOIN shipments_shipment shipment ON shipment.id = link.shipment_id"
        # A customer's link ends with the customer's own right to see the shipment.
        " WHERE link.id = ANY(%s) AND (link.revoked_at IS NOT NULL OR link.customer_id <> shipment.customer_id"
        " OR (link.customer_id IS NOT NULL AND shipment.customer_id IS NULL))",
        [list(known), list(known.values()), list(links)],
    )
    return [identifier for (identifier,) in rows]


_HEADS_SQL: Final = (
    f"SELECT ({epochs.EPOCH_SQL}), id, seq FROM (SELECT NULL::uuid AS id, 0::bigint AS seq"  # noqa: S608  constants
    " UNION ALL SELECT id, seq FROM shipments_shipment WHERE id = ANY(%s::uuid[])"
    " UNION ALL SELECT id, COALESCE((SELECT max(position) FROM shipments_feedentry feed"
    " WHERE feed.organization_id = organization.id), 0)"
    " FROM shipments_organization organization WHERE id = ANY(%s::uuid[])) AS head"
)


async def fetch_heads(keys: Iterable[uuid.UUID]) -> tuple[str, dict[uuid.UUID, int]]:
    """Return the epoch and the head of each log, in one query and one snapshot.

    A key is a shipment (its `seq`) or an organisation (the newest position of its feed, 0 for an empty one).
    """
    array_literal = "{" + ",".join(map(str, keys)) + "}"  # psycopg takes ten times as long to adapt a list
    rows = await async_pool.fetch(_HEADS_SQL, [array_literal, array_literal])
    return str(rows[0][0]), {identifier: seq for _, identifier, seq in rows if identifier}


async def fetch_events(
    shipment_id: uuid.UUID, after: int, *, up_to: int | None = None, limit: int, variant: str
) -> list[representation.Json]:
    """Return the events of a shipment with `seq` above `after`, up to `up_to` where given, in order."""
    columns = representation.event_columns(variant)
    rows = ShipmentEvent.objects.filter(shipment_id=shipment_id).after_seq(after)
    if up_to is not None:
        rows = rows.filter(seq__lte=up_to)
    return [representation.event(row, variant) for row in await _fetch_values(columns, rows[:limit])]


async def fetch_feed(
    organization_id: uuid.UUID, after: int, *, up_to: int | None = None, limit: int
) -> list[representation.Json]:
    """Return an organisation's feed after a position, up to `up_to` where given, in order.

    The caller has checked that the viewer sees every shipment.
    """
    rows = feeds.entries_queryset(organization_id, after)
    rows = rows[: limit if up_to is None else min(limit, up_to - after)]
    return [
        representation.feed_entry(row, "staff") for row in await _fetch_values(representation.FEED_COLUMNS, rows)
    ]


async def fetch_feed_page(query: FeedQuery, after: int, head: int, *, limit: int) -> FeedPage:
    """Return the entries of one stretch after a position, for a reader that waits for them."""
    up_to = query.end_of_stretch(after, head)
    rows = await _fetch_values(query.columns, query.rows(after, up_to, limit=limit))
    return feeds.page_of([query.entry(row) for row in rows], up_to, head, limit=limit)


async def has_lost_access(subject: Subject) -> bool:
    """Tell whether the rights of a subject have changed since it was authenticated, or its login or link ended."""
    known = {subject.user_id: subject.access_version} if subject.user_id else {}
    links = [subject.link_id] if subject.link_id else []
    return bool(await changed_access(known, links))


async def fetch_positions(driver_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, tuple[int, representation.Json]]:
    """Return the newest positions of drivers, each with its version (`representation.microseconds`)."""
    rows = await async_pool.fetch(POSITIONS_SQL, [list(driver_ids)])
    return {
        driver_id: (
            representation.microseconds(recorded_at),
            representation.driver_position(driver_id, latitude, longitude, recorded_at),
        )
        for driver_id, latitude, longitude, recorded_at in rows
    }


async def fetch_visible_driver_ids(viewer: Viewer, driver_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the drivers that the viewer may see."""
    drivers = Driver.objects.visible_to(viewer).filter(pk__in=driver_ids)
    return {row["id"] for row in await _fetch_values(("id",), drivers)}


# Stands for the array of keys in compiled SQL. One text for any number of keys: PostgreSQL reuses its plan.
_PLACEHOLDER: Final[list[str]] = []


@lru_cache(maxsize=1)
def _snapshots_statement() -> tuple[str, tuple[Any, ...]]:
    rows = Shipment.objects.not_deleted().filter(EqualsAny(F("pk"), Value(_PLACEHOLDER)))
    with_epoch: Any = rows.annotate(epoch=RawSQL(epochs.EPOCH_SQL, []))  # noqa: S611  a constant
    statement: tuple[str, tuple[Any, ...]] = with_epoch.values_list(
        "epoch", *representation.SHIPMENT_COLUMNS
    ).query.sql_with_params()
    return statement


@lru_cache(maxsize=1024)
def _visible_statement(scope: VisibilityScope, columns: tuple[str, ...]) -> tuple[str, tuple[Any, ...]] | None:
    rows = Shipment.objects.visible_to(scope).with_references(_PLACEHOLDER)
    try:
        return rows.values_list(*columns).query.sql_with_params()
    except EmptyResultSet:
        return None  # a viewer who sees nothing


async def fetch_snapshots(shipment_ids: Iterable[uuid.UUID]) -> tuple[str, dict[uuid.UUID, representation.Json]]:
    """Return the epoch and the public snapshots of these shipments by id, in one query and one snapshot.

    Discarded shipments are left out; without any row the epoch is empty.
    """
    ids, columns = list(shipment_ids), ("epoch", *representation.SHIPMENT_COLUMNS)
    if not ids:
        return "", {}
    rows = [dict(zip(columns, row, strict=True)) for row in await _fetch_compiled(_snapshots_statement(), ids)]
    return rows[0]["epoch"] if rows else "", {row["id"]: representation.snapshot(row) for row in rows}


async def fetch_visible_references(viewer: Viewer, references: Sequence[str]) -> dict[str, tuple[uuid.UUID, str]]:
    """Return id and reference as stored of those shipments that the viewer may see, by upper-case reference."""
    rows_by_reference = await fetch_visible(VisibilityScope.of(viewer), references, ("id", "reference"))
    return {key: (row["id"], row["reference"]) for key, row in rows_by_reference.items()}


async def fetch_visible(
    scope: VisibilityScope, references: Collection[str], columns: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Return columns, `reference` among them, of those shipments that are visible, by upper-case reference.

    `references` may be in any case. One query.
    """
    statement = _visible_statement(scope, columns)
    if statement is None or not references:
        return {}
    keys = [reference.upper() for reference in references]
    rows = [dict(zip(columns, row, strict=True)) for row in await _fetch_compiled(statement, keys)]
    return {row["reference"].upper(): row for row in rows}
