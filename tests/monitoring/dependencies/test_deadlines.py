"""A silent database: waits end, a request asks it no more, and an interrupted COMMIT has an unknown outcome."""

import time
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection

from freight.server import serve
from monitoring.dependencies import deadlines
from shipments.selectors import async_pool, async_reads
from shipments.services import transactions
from tests.timing import fastest_seconds

# For a client a statement that sleeps is a database that is frozen.
_SLEEPING_SQL = "SELECT pg_sleep(60)"
_TIMEOUT_SECONDS = 0.3
# Far below the minute of the statement, and enough for a machine that is busy with other tests.
_MAX_SECONDS = 10.0


@pytest.fixture
def database(committed: None) -> Iterator[None]:
    """Open Django's connection, and close it after the test."""
    connection.ensure_connection()
    yield
    connection.close()


def run_sleeping_query() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SLEEPING_SQL)


def test_a_wait_for_a_silent_database_times_out_and_closes_its_connection(database: None) -> None:
    began = time.monotonic()

    with deadlines.request_budget(_TIMEOUT_SECONDS), pytest.raises(OperationalError, match="said nothing"):
        run_sleeping_query()

    assert _TIMEOUT_SECONDS <= time.monotonic() - began < _MAX_SECONDS
    assert connection.connection.closed


def test_a_request_does_not_ask_a_silent_database_again(database: None) -> None:
    with deadlines.request_budget(_TIMEOUT_SECONDS) as budget:
        with pytest.raises(OperationalError):
            run_sleeping_query()
        connection.close()

        def ask_again() -> None:
            with pytest.raises(OperationalError, match="given up"):
                connection.ensure_connection()

        assert fastest_seconds(ask_again, under=_TIMEOUT_SECONDS) < _TIMEOUT_SECONDS
        assert budget.database_exhausted


def test_an_answer_restores_the_budget_of_a_request(database: None) -> None:
    with deadlines.request_budget(1.5) as budget, connection.cursor() as cursor:
        for _ in range(3):
            cursor.execute("SELECT pg_sleep(0.6)")

        assert not budget.database_exhausted


def test_the_next_request_gets_a_working_connection(database: None) -> None:
    with deadlines.request_budget(_TIMEOUT_SECONDS), pytest.raises(OperationalError):
        run_sleeping_query()
    connection.close()

    with deadlines.request_budget(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")

        assert cursor.fetchone() == (1,)


def test_a_commit_that_times_out_has_an_unknown_outcome(database: None) -> None:
    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION pg_temp.freeze() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';"
                "CREATE TEMPORARY TABLE freezing (id int);"
                "CREATE CONSTRAINT TRIGGER freezes AFTER INSERT ON freezing DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION pg_temp.freeze();"
                "INSERT INTO freezing VALUES (1)"
            )

    with deadlines.request_budget(1.0), pytest.raises(transactions.OutcomeUnknown):
        transactions.run_in_transaction(write)


def test_a_thread_without_a_request_waits_without_a_limit(database: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s), 1", [_TIMEOUT_SECONDS])

        assert cursor.fetchone() == ("", 1)


async def test_a_read_of_an_event_loop_times_out(committed: None) -> None:
    await async_reads.current_epoch()
    began = time.monotonic()

    try:
        with deadlines.deadline(_TIMEOUT_SECONDS), pytest.raises(psycopg.OperationalError, match="said nothing"):
            await async_pool.fetch(_SLEEPING_SQL)
    finally:
        await async_pool.close_pools()

    assert time.monotonic() - began < _MAX_SECONDS


def test_a_server_sets_a_statement_timeout_below_its_own(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    options = settings.DATABASES["default"]["OPTIONS"]
    monkeypatch.setitem(options, "options", options["options"])

    serve._set_statement_timeout(deadlines.STATEMENT_TIMEOUT_SECONDS)

    with psycopg.connect(**async_pool.connection_arguments("test", options["options"])) as session:
        assert session.execute("SHOW statement_timeout").fetchone() == ("3500ms",)
    assert deadlines.STATEMENT_TIMEOUT_SECONDS < deadlines.DATABASE_TIMEOUT_SECONDS
