"""Readings of reports: one snapshot each, and no connection that stays out."""

import threading
import time
from dataclasses import replace

import psycopg
import pytest
from django.db import connection

from shipments.access import Subject
from shipments.models import Organization
from shipments.selectors import cells, rows, sessions
from shipments.selectors import shipments as selectors
from tests import factories

pytestmark = pytest.mark.usefixtures("committed")
CELLS = {"reference": cells.text("reference")}


@pytest.fixture
def dispatcher(committed: None) -> Subject:
    return factories.member(factories.organization(), "dispatcher")


def opened(viewer: Subject, form: rows.Form = "csv") -> rows.Reading:
    return rows.opened(selectors.visible(viewer).order_by("-created_at", "-id"), CELLS, form)


def test_what_is_booked_meanwhile_is_neither_counted_nor_read(dispatcher: Subject) -> None:
    first = factories.booked(dispatcher)
    reading = opened(dispatcher)

    factories.booked(dispatcher)
    found = b"".join(reading.blocks())
    reading.close()

    assert (reading.count, found) == (1, f"{first.reference}\n".encode())


def test_lines_of_json_are_whole_and_need_no_quotes(dispatcher: Subject) -> None:
    name = 'a "b" \\. \\n \n,\t\x01\x02 {}'
    factories.booked(
        dispatcher, customer_id=factories.customer(Organization.objects.get(pk=dispatcher.organization_id), name).pk
    )

    reading = rows.opened(selectors.visible(dispatcher), {"name": cells.text("customer__name")}, "json")
    found = b"".join(reading.blocks())
    reading.close()

    assert found == b'{"name":"a \\"b\\" \\\\. \\\\n \\n,\\t\\u0001\\u0002 {}"}\n'


def test_a_reading_that_is_cancelled_breaks_off_and_leaves_no_session(dispatcher: Subject) -> None:
    for _ in range(3):
        factories.booked(dispatcher)
    endless = {"nap": cells.Cell("pg_sleep(60)::text || {0}", "reference")}
    reading = rows.opened(selectors.visible(dispatcher), endless, "csv")
    leader = session(reading)
    threading.Timer(0.2, reading.cancel).start()

    with pytest.raises(psycopg.errors.QueryCanceled):
        list(reading.blocks())

    reading.close()
    active = 1
    until = time.monotonic() + 10  # a parallel worker of the query hears of it a moment later
    while active and time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            # Of this query alone: other tests leave sleepers behind whose line they have cut.
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE %s IN (pid, leader_pid) AND state = 'active'", [leader]
            )
            active = cursor.fetchone()[0]
    assert active == 0


def test_a_viewer_who_sees_nothing_costs_no_connection(dispatcher: Subject) -> None:
    nobody = replace(dispatcher, role="driver")

    reading = opened(nobody)

    assert (reading.count, list(reading.blocks())) == (0, [])


def test_the_next_reading_goes_on_with_the_session_of_the_last(dispatcher: Subject) -> None:
    sessions.shared.close()
    first = opened(dispatcher)
    used = session(first)
    list(first.blocks())
    first.close()

    booked = factories.booked(dispatcher)
    second = opened(dispatcher)

    found = (session(second), b"".join(second.blocks()))
    second.close()
    assert found == (used, f"{booked.reference}\n".encode())


@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_a_session_that_did_not_end_well_is_not_used_again(dispatcher: Subject, end: str) -> None:
    sessions.shared.close()
    factories.booked(dispatcher)
    first = opened(dispatcher)
    used = session(first)
    list(first.blocks())

    if end == "cancelled":
        first.cancel()
    first.close()
    if end == "killed":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 2000)", [used])
    second = opened(dispatcher)

    found = (session(second) != used, b"".join(second.blocks()).count(b"\n"))
    second.close()
    assert found == (True, 1)


def test_no_more_sessions_are_kept_than_are_used_at_once(dispatcher: Subject) -> None:
    sessions.shared.close()
    readings = [opened(dispatcher) for _ in range(sessions.MOST_KEPT + 2)]
    used = [reading._connection for reading in readings]

    for reading in readings:
        reading.close()

    assert [each is not None and each.closed for each in used] == [False] * sessions.MOST_KEPT + [True, True]


def session(reading: rows.Reading) -> int:
    assert reading._connection is not None
    return reading._connection.info.backend_pid
