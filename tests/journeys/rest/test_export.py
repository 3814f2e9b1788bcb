"""Streamed exports through a real server: a truncated file never looks complete, and every outcome is audited."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import httpx
import psutil
import pytest
from django.db import connection

from shipments.models import AuditEntry, Organization
from tests import factories
from tests.drills.harness import shipment_copies
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import comes_true
from tests.journeys import clients

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
PATH = "/exports/shipments.csv"
ROWS = 20_000
ACTIVE_COPIES = (
    "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (%%' AND state = 'active'"
)


@pytest.fixture(scope="module")
def stock(django_db_setup: None, django_db_blocker: Any) -> Organization:
    """Store an organisation with many shipments."""
    with django_db_blocker.unblock():
        organization = factories.organization()
        first = factories.booked_shipment(factories.member(organization, "dispatcher"))
        shipment_copies.insert_copies(first.pk, ROWS)
        connection.close()
    return organization


def outcomes(organization: Organization) -> list[str]:
    """Return the audited outcomes of exports, in order."""
    entries = AuditEntry.objects.filter(organization=organization, action="export").order_by("at", "id")
    return list(entries.values_list("outcome", flat=True))


def count_reads() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {ACTIVE_COPIES}")
        return int(cursor.fetchone()[0])


def test_a_file_has_as_many_rows_as_its_header_says(product: ProductStage, stock: Organization) -> None:
    with closing(clients.logged_in_client(product.api, stock, "auditor")) as http:
        before = outcomes(stock)
        answer = http.get(PATH)

    lines = answer.content.count(b"\n")
    assert (answer.status_code, answer.headers["X-Freight-Rows"], lines) == (200, str(ROWS), ROWS + 1)
    assert comes_true(2, lambda: outcomes(stock) == [*before, "started", "done"])


def test_a_terminated_copy_breaks_the_response_off(product: ProductStage, stock: Organization) -> None:
    with closing(clients.logged_in_client(product.api, stock, "auditor")) as http:
        before = outcomes(stock)
        killer = threading.Thread(target=terminate_read)
        killer.start()

        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            http.get(PATH)

        killer.join()
        assert comes_true(2, lambda: outcomes(stock) == [*before, "started", "failed"])
        # The server still works.
        assert http.get(PATH, params={"limit": 10}).text.count("\n") == 11


def terminate_read() -> None:
    try:
        with connection.cursor() as cursor:
            for _ in range(2000):
                cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {ACTIVE_COPIES}")
                if cursor.fetchone()[0]:
                    return
                time.sleep(0.005)
    finally:
        connection.close()


def test_a_disconnected_client_cancels_the_copy(product: ProductStage, stock: Organization) -> None:
    with closing(clients.logged_in_client(product.api, stock, "auditor")) as http:
        before = outcomes(stock)
        with http.stream("GET", PATH) as answer:
            next(answer.iter_raw())

    assert comes_true(3, lambda: outcomes(stock) == [*before, "started", "cancelled"])
    assert comes_true(2, lambda: count_reads() == 0)


def test_fifty_concurrent_requests_are_served_two_at_a_time_or_get_a_429(
    product: ProductStage, stock: Organization
) -> None:
    read_counts: list[int] = []
    liveness_statuses: list[int] = []
    stopped = threading.Event()
    watcher = threading.Thread(target=sample_reads, args=(product, stopped, read_counts, liveness_statuses))
    with closing(clients.logged_in_client(product.api, stock, "auditor")) as http:
        before = len(outcomes(stock))
        watcher.start()
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: http.get(PATH, timeout=60), range(50)))
        stopped.set()
        watcher.join()

    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert {answer.content.count(b"\n") for answer in answers if answer.status_code == 200} == {ROWS + 1}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status_code == 429)
    assert max(read_counts) <= 2
    assert set(liveness_statuses) == {200}
    # Two audit entries each; refusals are audited at most once a second.
    assert comes_true(5, lambda: outcomes(stock)[before:].count("done") == statuses[200])
    assert 1 <= outcomes(stock)[before:].count("refused") <= statuses[429]


def sample_reads(
    product: ProductStage, stopped: threading.Event, read_counts: list[int], liveness_statuses: list[int]
) -> None:
    """Sample the number of running COPYs and the liveness endpoint until `stopped` is set."""
    try:
        while not stopped.wait(0.02):
            read_counts.append(count_reads())
            liveness_statuses.append(httpx.get(f"{product.api.url}/api/health/live", timeout=10).status_code)
    finally:
        connection.close()


def test_a_disconnected_client_ends_the_xlsx_writer(product: ProductStage, stock: Organization) -> None:
    with closing(clients.logged_in_client(product.api, stock, "auditor")) as http:
        before = outcomes(stock)
        with pytest.raises(httpx.ReadTimeout):
            http.get("/exports/shipments.xlsx", timeout=0.3)

    assert comes_true(10, lambda: outcomes(stock) == [*before, "started", "cancelled"])
    assert comes_true(5, lambda: count_reads() == 0 and count_xlsx_writers() == 0)


def count_xlsx_writers() -> int:
    """Return the number of XLSX writer processes."""
    count = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            count += any(word.endswith("xlsx_writer.py") for word in process.cmdline())
    return count
