"""Copy readers: one snapshot each, and every connection goes back to the pool or is closed."""

import threading
import time
from dataclasses import replace

import psycopg
import pytest
from django.db import connection

from shipments.auth.subjects import Subject
from shipments.models import Organization
from shipments.selectors import shipments as selectors
from shipments.selectors.reports import cells, copy_reader, snapshot_pool
from tests import factories

pytestmark = pytest.mark.usefixtures("committed")
CELLS = {"reference": cells.text("reference")}


@pytest.fixture
def dispatcher(committed: None) -> Subject:
    return factories.member(factories.organization(), "dispatcher")


def open_reader(viewer: Subject, form: copy_reader.CopyFormat = "csv") -> copy_reader.CopyReader:
    return copy_reader.open_reader(selectors.visible_shipments(viewer).order_by("-created_at", "-id"), CELLS, form)


def test_a_shipment_booked_meanwhile_is_neither_counted_nor_read(dispatcher: Subject) -> None:
    first = factories.booked_shipment(dispatcher)
    reading = open_reader(dispatcher)

    factories.booked_shipment(dispatcher)
    content = b"".join(reading.blocks())
    reading.close()

    assert (reading.count, content) == (1, f"{first.reference}\n".encode())


def test_json_lines_are_unchanged_by_copy(dispatcher: Subject) -> None:
    name = 'a "b" \\. \\n \n,\t\x01\x02 {}'
    factories.booked_shipment(
        dispatcher, customer_id=factories.customer(Organization.objects.get(pk=dispatcher.organization_id), name).pk
    )

    reading = copy_reader.open_reader(
        selectors.visible_shipments(dispatcher), {"name": cells.text("customer__name")}, "json"
    )
    content = b"".join(reading.blocks())
    reading.close()

    assert content == b'{"name":"a \\"b\\" \\\\. \\\\n \\n,\\t\\u0001\\u0002 {}"}\n'


def test_a_cancelled_reader_breaks_off_and_leaves_no_backend(dispatcher: Subject) -> None:
    for _ in range(3):
        factories.booked_shipment(dispatcher)
    endless = {"nap": cells.Cell("pg_sleep(60)::text || {0}", "reference")}
    reading = copy_reader.open_reader(selectors.visible_shipments(dispatcher), endless, "csv")
    leader = backend_pid(reading)
    threading.Timer(0.2, reading.cancel).start()

    with pytest.raises(psycopg.errors.QueryCanceled):
        list(reading.blocks())

    reading.close()
    active = 1
    until = time.monotonic() + 10  # a parallel worker of the query ends a moment later
    while active and time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            # Of this query alone: other tests leave sleeping backends whose connections they have cut.
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE %s IN (pid, leader_pid) AND state = 'active'", [leader]
            )
            active = cursor.fetchone()[0]
    assert active == 0


def test_a_viewer_who_sees_nothing_costs_no_connection(dispatcher: Subject) -> None:
    nobody = replace(dispatcher, role="driver")

    reading = open_reader(nobody)

    assert (reading.count, list(reading.blocks())) == (0, [])


def test_the_next_reader_reuses_the_connection(dispatcher: Subject) -> None:
    snapshot_pool.pool.close()
    first = open_reader(dispatcher)
    used = backend_pid(first)
    list(first.blocks())
    first.close()

    booked = factories.booked_shipment(dispatcher)
    second = open_reader(dispatcher)

    second_read = (backend_pid(second), b"".join(second.blocks()))
    second.close()
    assert second_read == (used, f"{booked.reference}\n".encode())


@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_a_connection_that_did_not_end_cleanly_is_not_reused(dispatcher: Subject, end: str) -> None:
    snapshot_pool.pool.close()
    factories.booked_shipment(dispatcher)
    first = open_reader(dispatcher)
    used = backend_pid(first)
    list(first.blocks())

    if end == "cancelled":
        first.cancel()
    first.close()
    if end == "killed":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 2000)", [used])
    second = open_reader(dispatcher)

    second_read = (backend_pid(second) != used, b"".join(second.blocks()).count(b"\n"))
    second.close()
    assert second_read == (True, 1)


def test_the_pool_keeps_at_most_max_idle_connections(dispatcher: Subject) -> None:
    snapshot_pool.pool.close()
    readings = [open_reader(dispatcher) for _ in range(snapshot_pool.MAX_IDLE + 2)]
    used = [reading._connection for reading in readings]

    for reading in readings:
        reading.close()

    assert [each is not None and each.closed for each in used] == [False] * snapshot_pool.MAX_IDLE + [True, True]


def backend_pid(reading: copy_reader.CopyReader) -> int:
    assert reading._connection is not None
    return reading._connection.info.backend_pid
