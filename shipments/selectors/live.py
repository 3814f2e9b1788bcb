"""Reads for event loops: asynchronous pools of their own, so that no socket waits for another's thread."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from shipments import representation
from shipments.models import Shipment, ShipmentEvent
from shipments.querysets import Viewer
from shipments.selectors import epoch as epochs
from shipments.selectors import feed

_Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Pool]] = WeakKeyDictionary()
_TIMEOUT_SECONDS = 4.0
# libpq's words for Django's.
_CONNECT_BY = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}


async def pool(purpose: str = "live") -> _Pool:
    """This will return this loop's pool for a purpose: what takes long must not use up the connections of others.

    Its connections are in autocommit, read only, and end a statement after 4 s unless told otherwise.
    """
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    pool = pools.get(purpose)
    if pool is None:
        database = settings.DATABASES["default"]
        kwargs = {
            name: value
            for name, value in database["OPTIONS"].items()
            if name not in {"pool", "options", "application_name"}
        }
        kwargs |= {name: database[key] for name, key in _CONNECT_BY.items() if database[key]}
        pool = pools[purpose] = AsyncConnectionPool(
            kwargs=kwargs
            | {
                "autocommit": True,
                "application_name": f"freight {purpose}",
                "options": "-c timezone=UTC -c statement_timeout=4000 -c default_transaction_read_only=on",
            },
            min_size=1 if purpose == "live" else 0,
            max_size=max(2, settings.DATABASE_POOL_SIZE // 2),
            timeout=_TIMEOUT_SECONDS,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )
        await pool.open()
    return pool


async def close() -> None:
    """This will close this loop's pools."""
    for pool in _pools.pop(asyncio.get_running_loop(), {}).values():
        await pool.close()


async def _fetch(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    async with (await pool()).connection() as connection:
        cursor = await connection.execute(sql.encode(), params)
        return await cursor.fetchall()


async def _rows(columns: Sequence[str], queryset: Any) -> list[dict[str, Any]]:
    """This will run a queryset of the ORM on the asynchronous pool and return its `.values()`."""
    try:
        sql, params = queryset.values_list(*columns).query.sql_with_params()
    except EmptyResultSet:
        return []  # the ORM knows without asking: an empty list, or a viewer who sees nothing
    return [dict(zip(columns, row, strict=True)) for row in await _fetch(sql, params)]


async def epoch() -> str:
    """This will read the epoch now."""
    return str((await _fetch(epochs.SQL))[0][0])


async def heads(shipment_ids: Iterable[uuid.UUID]) -> tuple[str, dict[uuid.UUID, int]]:
    """This will return the epoch and the newest `seq` of each shipment, in one query and one snapshot."""
    rows = await _fetch(
        f"SELECT ({epochs.SQL}), id, seq FROM (SELECT NULL::uuid AS id, 0::bigint AS seq"  # noqa: S608
        " UNION ALL SELECT id, seq FROM shipments_shipment WHERE id = ANY(%s)) AS head",
        [list(shipment_ids)],
    )
    return str(rows[0][0]), {identifier: seq for _, identifier, seq in rows if identifier}


async def events_between(shipment_id: uuid.UUID, after: int, upto: int) -> list[representation.Json]:
    """This will return the events with `after < seq <= upto`, in order."""
    found = ShipmentEvent.objects.filter(shipment_id=shipment_id, seq__lte=upto).after(after)
    return [representation.event(row) for row in await _rows(representation.EVENT_COLUMNS, found)]


async def events_after(shipment_id: uuid.UUID, seq: int, *, limit: int) -> list[representation.Json]:
    """This will return the events behind `seq` in order, at most `limit`."""
    found = ShipmentEvent.objects.filter(shipment_id=shipment_id).after(seq)[:limit]
    return [representation.event(row) for row in await _rows(representation.EVENT_COLUMNS, found)]


async def feed_after(viewer: Viewer, position: int, *, limit: int) -> list[representation.Json]:
    """This will return the organisation feed behind a position, for a viewer who sees every shipment."""
    found = feed.rows_after(viewer, position, limit=limit)
    return [feed.entry(row) for row in await _rows(feed.COLUMNS, found)]


async def snapshots(shipment_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, representation.Json]:
    """This will return the public snapshots of these shipments; a discarded one is left out."""
    found = Shipment.objects.present().filter(pk__in=list(shipment_ids))
    return {row["id"]: representation.snapshot(row) for row in await _rows(representation.SHIPMENT_COLUMNS, found)}


async def find_visible(viewer: Viewer, references: Sequence[str]) -> dict[str, tuple[uuid.UUID, str]]:
    """This will return id and spelling of those shipments that the viewer may see, by upper-case reference."""
    found = Shipment.objects.visible_to(viewer).named_any(references)
    return {
        row["reference"].upper(): (row["id"], row["reference"]) for row in await _rows(("id", "reference"), found)
    }
