"""Reads of whole tables for reports: CSV blocks straight from a COPY, counted in the same snapshot."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import OperationalError
from psycopg import AsyncClientCursor, AsyncConnection

from shipments import lifecycle
from shipments.models import Shipment
from shipments.querysets import Viewer
from shipments.selectors import live
from shipments.selectors.cells import Cell

STATUSES: Final = lifecycle.STATES
BLOCK_BYTES: Final = 64 * 1024
# A reading that nobody begins to read gives its connection back: its request was given up meanwhile.
_UNREAD_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which shipments: in one of the states, created in `[created_after, created_before)`, the newest `limit`."""

    statuses: Sequence[str] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int | None = None


async def shipments(viewer: Viewer, narrowing: Narrowing, cells: Sequence[Cell]) -> "Reading":
    """This will open a reading of the shipments that the viewer may see, newest first; raises OperationalError."""
    found = Shipment.objects.visible_to(viewer)
    if narrowing.statuses:
        found = found.filter(status__in=narrowing.statuses)
    if narrowing.created_after:
        found = found.filter(created_at__gte=narrowing.created_after)
    if narrowing.created_before:
        found = found.filter(created_at__lt=narrowing.created_before)
    rows = found.order_by("-created_at", "-id")[: narrowing.limit]
    try:
        copied, counted = (_compiled(rows.values_list(*columns)) for columns in (cells, ("id",)))
    except EmptyResultSet:
        return Reading()  # the ORM knows without asking: a viewer who sees nothing
    try:
        return await _opened(copied, counted)
    except psycopg.OperationalError as error:
        raise OperationalError(*error.args) from error  # the name by which the layers above know it


class Reading:
    """Rows of one snapshot: `count` of them, to be read once as `blocks()`, then or instead to be closed."""

    def __init__(self, connection: "_Connection | None" = None, *, copy: str = "", count: int = 0) -> None:
        self.count = count
        self._connection = connection
        self._copy = copy
        self._unread = asyncio.get_running_loop().call_later(_UNREAD_SECONDS, self._give_up)
        self._closing: asyncio.Task[None] | None = None

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """This will yield the lines in blocks of about 64 KiB; raises psycopg.Error where they break off."""
        self._unread.cancel()
        try:
            if self._connection is not None:
                async with aclosing(_copied(self._connection, self._copy)) as copied:
                    async for block in copied:
                        yield block
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """This will end the snapshot and give the connection back; again is no harm."""
        self._unread.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            await _returned(connection)

    def _give_up(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self.aclose())


_Connection = AsyncConnection[tuple[Any, ...]]
_Statement = tuple[str, tuple[Any, ...]]


def _compiled(queryset: Any) -> _Statement:
    sql, params = queryset.query.sql_with_params()
    return sql, params


async def _opened(copied: _Statement, counted: _Statement) -> Reading:
    connection = await (await live.pool("export")).getconn()
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # As long as it takes, but not for a reader who is gone.
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
        # COPY takes no parameters: the client writes the values into the text, by the rules of the connection.
        writer = AsyncClientCursor(connection)
        cursor = await connection.execute(
            writer.mogrify(f"SELECT count(*) FROM ({counted[0]}) AS counted".encode(), counted[1]).encode()  # noqa: S608
        )
        [(count,)] = await cursor.fetchall()
        copy = writer.mogrify(
            f"COPY ({copied[0]}) TO STDOUT WITH (FORMAT csv, ENCODING 'UTF8')".encode(), copied[1]
        )
    except BaseException:
        await _returned(connection)
        raise
    return Reading(connection, copy=copy, count=count)


async def _returned(connection: _Connection) -> None:
    try:
        await connection.rollback()
    except psycopg.Error:
        await connection.close()
    await (await live.pool("export")).putconn(connection)


async def _copied(connection: _Connection, copy: str) -> AsyncGenerator[bytes, None]:
    block = bytearray()
    async with connection.cursor() as cursor, cursor.copy(copy.encode()) as rows:
        async for row in rows:
            block += row
            if len(block) >= BLOCK_BYTES:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)
