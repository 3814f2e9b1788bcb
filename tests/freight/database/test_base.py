"""The database backend returns what Django's own would, and never a connection that the server has closed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import BaseTzLoader

pytestmark = pytest.mark.django_db
TIMES = [
    "2026-11-27 10:53:13.123456+00",
    "2026-11-27 10:53:13+00",
    "1970-01-01 00:00:00+00",
    "2024-02-29 23:59:59.5+14",
    "9999-12-31 23:59:59.999999+00",
]


class DjangoLoader(BaseTzLoader):  # type: ignore[misc]  # the stubs do not know its base
    """Django's loader of timestamps, for UTC."""

    timezone = UTC


@pytest.mark.parametrize("text", TIMES)
def test_timestamps_are_those_of_djangos_loader(text: str) -> None:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz, (%s::timestamptz)::text", [text, text])
        read, text_out = cursor.fetchone()

    expected: Any = DjangoLoader(1184, connection.connection).load(text_out.encode())
    assert (read, read.tzinfo) == (expected, UTC)
    assert read == datetime.fromisoformat(text)


def test_a_server_side_cursor_returns_them_too() -> None:
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz", [TIMES[0]])

        assert cursor.fetchone() == (datetime.fromisoformat(TIMES[0]),)


def test_the_pool_discards_a_connection_that_the_server_has_closed() -> None:
    pool: Any = getattr(connection, "pool")  # noqa: B009  of the PostgreSQL backend, unknown to the stubs
    closed, other = pool.getconn(), pool.getconn()
    pid = closed.info.backend_pid
    pool.putconn(closed)
    other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    pool.putconn(other)

    connections = [pool.getconn() for _ in range(3)]

    try:
        assert pid not in [each.info.backend_pid for each in connections]
        assert [each.execute("SELECT 1").fetchone() for each in connections] == [(1,)] * 3
    finally:
        for each in connections:
            pool.putconn(each)
