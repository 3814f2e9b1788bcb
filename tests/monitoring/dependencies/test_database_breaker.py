"""Once it is known that PostgreSQL does not answer, nothing waits for it; a late check alone proves nothing."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import OperationalError, connection

from monitoring.dependencies import database_breaker, deadlines
from monitoring.dependencies.probes import DOES_NOT_ANSWER
from shipments.selectors import async_pool
from tests.monitoring.dependencies.test_deadlines import database  # noqa: F401  a fixture

# Nothing is asked; the rest is for a busy machine. A request that waited would take four seconds.
_AT_ONCE_SECONDS = 1.5


@pytest.fixture(autouse=True)
def outage() -> Iterator[deadlines.DatabaseOutage]:
    """Return the state of the process, as it is before any check, and restore it."""
    deadlines.database_outage.is_known = False
    yield deadlines.database_outage
    deadlines.database_outage.is_known = False


def know_outage(state: deadlines.DatabaseOutage) -> None:
    state.answered_at = float("-inf")
    database_breaker.record_check(DOES_NOT_ANSWER)
    assert state.is_known


@pytest.mark.usefixtures("database")
def test_a_request_is_refused_at_once_while_an_outage_is_known(outage: deadlines.DatabaseOutage) -> None:
    know_outage(outage)
    connection.close()
    began = time.monotonic()

    with deadlines.request_budget(), pytest.raises(OperationalError, match="known not to answer"):
        connection.ensure_connection()

    assert time.monotonic() - began < _AT_ONCE_SECONDS
    database_breaker.record_check(None)
    with deadlines.request_budget(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.usefixtures("database")
def test_what_waits_is_given_up_when_the_outage_becomes_known(outage: deadlines.DatabaseOutage) -> None:
    connection.ensure_connection()
    outage.answered_at = float("-inf")
    timer = threading.Timer(0.5, know_outage, [outage])
    timer.start()
    began = time.monotonic()

    with deadlines.request_budget(), pytest.raises(OperationalError, match="said nothing"):
        connection.cursor().execute("SELECT pg_sleep(60)")

    timer.join()
    assert 0.4 < time.monotonic() - began < 0.5 + _AT_ONCE_SECONDS


@pytest.mark.usefixtures("database")
def test_a_slow_answer_arrives_while_no_outage_is_known() -> None:
    with deadlines.request_budget(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.6), 7")

        assert cursor.fetchone() == ("", 7)


def test_a_database_that_has_just_answered_is_not_gone(outage: deadlines.DatabaseOutage) -> None:
    outage.answered_at = time.monotonic()

    database_breaker.record_check(DOES_NOT_ANSWER)

    assert not outage.is_known


@pytest.mark.parametrize("error", ["migrations are pending", "has no connection left", None])
def test_a_database_that_refuses_does_answer(outage: deadlines.DatabaseOutage, error: str | None) -> None:
    outage.answered_at = float("-inf")

    database_breaker.record_check(error)

    assert not outage.is_known


async def test_a_read_of_an_event_loop_is_refused_at_once(outage: deadlines.DatabaseOutage) -> None:
    know_outage(outage)

    with pytest.raises(psycopg.OperationalError, match="known not to answer"):
        await async_pool.fetch("SELECT 1")
