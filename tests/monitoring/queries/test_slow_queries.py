"""Slow queries: recorded without values, added up over processes, bounded, and off the request path."""

import time
from collections.abc import Iterator
from functools import partial
from io import StringIO

import pytest
import redis
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import RequestFactory
from django.urls import ResolverMatch
from pytest_django import Settings
from structlog.testing import capture_logs

from monitoring.queries import query_timing, slow_queries
from monitoring.queries.slow_queries import SlowQueryStore
from monitoring.sql_text import normalise_sql
from tests.drills.harness.waiting import comes_true


@pytest.fixture(autouse=True)
def _empty_slow_query_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    monkeypatch.setattr(slow_queries, "_REDIS_KEY", "freight:slow-test")
    for key in client.scan_iter("freight:slow-test*"):
        client.delete(key)
    yield
    client.close()


@pytest.mark.parametrize(
    ("sql", "shape"),
    [
        ("SELECT a FROM t WHERE b = %s AND c = %(name)s", "SELECT a FROM t WHERE b = ? AND c = ?"),
        ("SELECT a FROM t1 WHERE b = 'it''s' LIMIT 21", "SELECT a FROM t1 WHERE b = ? LIMIT ?"),
        ("SELECT 1.5, $$secret$$, x2", "SELECT ?, ?, x2"),
        ('SELECT "T3"."a1" FROM "T3"', 'SELECT "T3"."a1" FROM "T3"'),
        ("SELECT a -- a secret\n  FROM t /* and\n another */", "SELECT a FROM t"),
        ("SELECT a FROM t WHERE b IN (%s, %s, %s)", "SELECT a FROM t WHERE b IN (?)"),
        ("SELECT a FROM t WHERE (b, c) IN ((%s, %s), (%s, %s))", "SELECT a FROM t WHERE (b, c) IN ((?, ?))"),
        ("SELECT nullif(%s, %s)", "SELECT nullif(?, ?)"),
        ("INSERT INTO t VALUES (%s, %s), (%s, %s)", "INSERT INTO t VALUES (?, ?)"),
        (
            "INSERT INTO t VALUES (%s, f(g(1), now())), (2, f(g(%s), now()))",
            "INSERT INTO t VALUES (?, f(g(?), now()))",
        ),
    ],
)
def test_values_are_replaced(sql: str, shape: str) -> None:
    assert normalise_sql(sql) == shape


def test_the_queries_of_two_processes_are_added_up() -> None:
    one, two = SlowQueryStore(), SlowQueryStore()
    one.record("SELECT 1", seconds=2.0, route="/a")
    two.record("SELECT 2", seconds=4.0, route="/a")
    two.record("SELECT 2", seconds=3.0, route="/b")

    assert comes_true(10, lambda: [each.count for each in SlowQueryStore().entries()] == [2, 1])
    entries = SlowQueryStore().entries()
    assert [(each.sql, each.route, each.max_ms, each.total_ms) for each in entries] == [
        ("SELECT ?", "/a", 4000.0, 6000.0),
        ("SELECT ?", "/b", 3000.0, 3000.0),
    ]
    assert entries[0].to_json()["meanMs"] == 3000.0
    assert abs(entries[0].last_at - time.time()) < 60


def stored_statements() -> set[str]:
    return {each.sql for each in SlowQueryStore().entries()}


def is_stored(sql: str) -> bool:
    return sql in stored_statements()


def test_the_store_keeps_the_last_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_queries, "MAX_ENTRIES", 3)
    store = SlowQueryStore()
    for number in range(6):
        store.record(f"SELECT a{number}", seconds=1.0, route="/")
        assert comes_true(10, partial(is_stored, f"SELECT a{number}"))

    assert stored_statements() == {"SELECT a3", "SELECT a4", "SELECT a5"}


def test_without_redis_a_process_keeps_its_entries_and_flushes_them_later(settings: Settings) -> None:
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:9/0"
    store = SlowQueryStore()
    started = time.monotonic()
    for _ in range(1500):  # more than the queue holds
        store.record("SELECT 1", seconds=1.5, route="/a")
    took = time.monotonic() - started

    assert comes_true(10, lambda: bool(store.entries()))
    assert store.entries()[0].sql == "SELECT ?"
    assert took < 2

    settings.REDIS_URL = url

    def is_flushed() -> bool:
        store._connection = None  # its thread may just have connected to the old address
        return bool(SlowQueryStore().entries())

    assert comes_true(10, is_flushed)


@pytest.mark.django_db
def test_a_slow_query_is_recorded_with_its_route(settings: Settings) -> None:
    settings.SLOW_QUERY_MS = 20
    request = RequestFactory().get("/api/shipments/geheim")
    request.resolver_match = ResolverMatch(lambda: None, (), {}, route="api/shipments/<reference>")

    token = query_timing.request.set(request)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s), 'geheim'", [0.03])
        cursor.execute("SELECT 'quick'")
    query_timing.request.reset(token)

    assert comes_true(10, lambda: len(slow_queries.entries()) == 1)
    summary = slow_queries.entries()[0].to_json()
    assert (summary["sql"], summary["route"], summary["count"]) == (
        "SELECT pg_sleep(?), ?",
        "/api/shipments/<reference>",
        1,
    )
    assert summary["maxMs"] >= 30


@pytest.mark.django_db
def test_the_command_lists_and_explains() -> None:
    SlowQueryStore().record("SELECT id FROM shipments_shipment WHERE status = %s LIMIT 21", seconds=1.5, route="/a")
    assert comes_true(10, lambda: bool(slow_queries.entries()))
    out = StringIO()

    call_command("slow_queries", "--explain", stdout=out)

    lines = out.getvalue().splitlines()
    assert lines[0].startswith("1500 ms at most, 1500 ms on average, 1 times, last ")
    assert lines[1] == "  SELECT id FROM shipments_shipment WHERE status = ? LIMIT ?"
    assert lines[2].startswith("  | Limit  (cost=")


def test_reset_forgets_what_was_recorded() -> None:
    SlowQueryStore().record("SELECT 1", seconds=1.5, route="/a")
    assert comes_true(10, lambda: is_stored("SELECT ?"))
    out = StringIO()

    call_command("slow_queries", "--reset", stdout=out)
    call_command("slow_queries", stdout=out)

    assert out.getvalue() == "Forgot 1 slow queries.\nNo slow queries.\n"


@pytest.mark.parametrize("arguments", [[], ["--reset"]])
def test_without_redis_the_command_says_so_and_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    monkeypatch.setattr(slow_queries, "_store", SlowQueryStore())

    with pytest.raises(CommandError, match=r"Redis at REDIS_URL does not answer \(ConnectionError\)"):
        call_command("slow_queries", *arguments)


@pytest.mark.django_db
def test_a_slow_query_has_a_line_in_the_log_without_its_values(settings: Settings) -> None:
    settings.SLOW_QUERY_MS = 20

    with capture_logs() as lines, connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s), 'geheim'", [0.03])
        cursor.execute("SELECT 'quick'")

    assert [(line["event"], line["sql"], line["route"]) for line in lines] == [
        ("slow query", "SELECT pg_sleep(?), ?", "-")
    ]
    assert lines[0]["duration_ms"] >= 30
