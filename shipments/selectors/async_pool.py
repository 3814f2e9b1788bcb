"""Asynchronous connection pools to the product's database, one set for each event loop.

A read on an event loop takes a connection of these pools, so that no socket waits for a thread.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from psycopg_pool import AsyncConnectionPool

from monitoring.dependencies import deadlines
from monitoring.queries import query_timing

_Pool = AsyncConnectionPool[deadlines.AsyncDeadlineConnection]
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Pool]] = WeakKeyDictionary()
# Waiting for a connection and for the result together ends before a request is 5 s old.
_READ_SECONDS = deadlines.DATABASE_TIMEOUT_SECONDS + 0.5
# A connection that was used within this time is not checked again before its next use.
_CHECK_AFTER_SECONDS: Final = 0.2
# libpq's parameters for Django's settings.
_LIBPQ_NAMES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}


def connection_arguments(purpose: str, options: str) -> dict[str, Any]:
    """Return psycopg's arguments for a connection to the product's database, in autocommit; `purpose` names it."""
    database = settings.DATABASES["default"]
    excluded = {"pool", "options", "application_name", "server_side_binding"}
    kwargs = {name: value for name, value in database["OPTIONS"].items() if name not in excluded}
    kwargs |= {name: database[key] for name, key in _LIBPQ_NAMES.items() if database[key]}
    return kwargs | {"autocommit": True, "application_name": f"freight {purpose}", "options": options}


async def get_pool(purpose: str = "live") -> _Pool:
    """Return this event loop's pool for a purpose: slow reads must not take the connections of others.

    Connections are read-only and in autocommit; the server ends a statement after STATEMENT_TIMEOUT_SECONDS.
    """
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    existing = pools.get(purpose)
    if existing is None:
        existing = pools[purpose] = AsyncConnectionPool(
            connection_class=deadlines.AsyncDeadlineConnection,
            kwargs=connection_arguments(
                purpose,
                f"-c timezone=UTC -c statement_timeout={deadlines.STATEMENT_TIMEOUT_SECONDS * 1000:.0f}"
                " -c default_transaction_read_only=on",
            ),
            min_size=1 if purpose == "live" else 0,
            max_size=max(2, settings.DATABASE_POOL_SIZE // 2),
            timeout=deadlines.DATABASE_TIMEOUT_SECONDS,
            reconnect_timeout=1,
            check=_check_idle_connection,
            open=False,
        )
        await existing.open()
    return existing


async def _check_idle_connection(connection: Any) -> None:
    """Check a connection unless it was used a moment ago, as under load it always was."""
    if time.monotonic() - connection.answered_at > _CHECK_AFTER_SECONDS:
        await AsyncConnectionPool.check_connection(connection)


async def close_pools() -> None:
    """Close the pools of this event loop."""
    for pool in _pools.pop(asyncio.get_running_loop(), {}).values():
        await pool.close()


async def fetch(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of one query; raises psycopg.OperationalError where the database does not answer in time."""
    with deadlines.deadline(_READ_SECONDS):
        return await _fetch_unbounded(sql, params)


async def _fetch_unbounded(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    if deadlines.database_outage.is_known:
        raise psycopg.OperationalError("The database is known not to answer.")
    async with (await get_pool()).connection() as connection:
        started = time.perf_counter()
        cursor = await connection.execute(sql.encode(), params)
        rows = await cursor.fetchall()
        query_timing.observe_query(sql, time.perf_counter() - started)
        connection.answered_at = time.monotonic()
        return rows
