"""Cached shipments and pages are exactly what is committed: real commits, real threads, a real cache."""

import itertools
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django_redis import get_redis_connection

from shipments import services
from shipments.auth.subjects import Subject
from shipments.caching import pages, prepared, service, versions
from shipments.models import Organization, Shipment, UnnumberedEvent
from shipments.selectors.lists.definitions import SHIPMENTS
from shipments.selectors.lists.parsing import parse_list_query
from shipments.selectors.positions import fetch_positions
from shipments.services.accounts import customers
from shipments.services.feed.sequencer import number_batch
from shipments.services.fleet import drivers
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api


@pytest.fixture
def dispatcher(committed: None) -> Subject:
    return factories.member(factories.organization(), "dispatcher")


def read_shipment(subject: Subject, reference: str, **more: Any) -> dict[str, Any]:
    prepared_shipment = prepared.get_shipment(subject, subject.variant, reference, **more)
    assert prepared_shipment is not None
    assert prepared_shipment.body is not None
    body: dict[str, Any] = orjson.loads(prepared_shipment.body)
    assert prepared_shipment.etag.partition(".")[0] == f'"{body["seq"]}'
    return body


def read_list(subject: Subject) -> list[dict[str, Any]]:
    page = pages.fetch_page(parse_list_query(SHIPMENTS, "/api/shipments", "ordering=reference", subject))
    positions = fetch_positions(page.drivers) if page.positions is None else page.positions
    results: list[dict[str, Any]] = orjson.loads(page.render(positions).body)["results"]
    return results


def amend(by: Subject, reference: str, pieces: int) -> int:
    return services.amend(by=by, now=NOW, reference=reference, changes={"pieces": pieces}).seq


def keep_busy(done: Event, work: Callable[[], object]) -> int:
    times = 0
    try:
        while not done.is_set():
            work()
            times += 1
    finally:
        connection.close()
    return times


def test_of_a_thousand_refills_beside_writes_none_is_older_than_the_last_write(dispatcher: Subject) -> None:
    reference = factories.booked_shipment(dispatcher).reference
    written, done, older = [1], Event(), []

    def write() -> None:
        written[0] = amend(dispatcher, reference, written[0])

    def read(round_: int) -> None:
        at_least = written[0]
        if round_ % 2:
            service._local.clear()  # as another process would: through Redis
        seq = read_shipment(dispatcher, reference)["seq"]
        if seq < at_least:
            older.append((seq, at_least))

    def reads(first: int) -> None:
        try:
            for round_ in range(first, 1000, 3):
                read(round_)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        writer = pool.submit(keep_busy, done, write)
        readers = [pool.submit(reads, first) for first in range(3)]
        try:
            for each in readers:
                each.result(60)
        finally:
            done.set()

    assert older == []
    assert writer.result(10) > 20


def test_a_list_is_never_older_than_the_last_write_while_the_feed_is_numbered(dispatcher: Subject) -> None:
    reference = factories.booked_shipment(dispatcher).reference
    written, done, older = [1], Event(), []
    while number_batch():
        pass  # events of other tests would slow the numbering of this one's

    def write() -> None:
        written[0] = amend(dispatcher, reference, written[0])

    def read(_: int) -> None:
        at_least = written[0]
        (seen,) = [each["seq"] for each in read_list(dispatcher)]
        if seen < at_least:
            older.append((seen, at_least))

    with ThreadPoolExecutor(3) as pool:
        writer, relay = pool.submit(keep_busy, done, write), pool.submit(keep_busy, done, number_batch)
        try:
            for round_ in range(300):
                read(round_)
        finally:
            done.set()

    assert older == []
    assert min(writer.result(10), relay.result(10)) > 5


def test_a_commit_between_the_two_queries_shows_with_its_own_etag(dispatcher: Subject) -> None:
    reference = factories.booked_shipment(dispatcher).reference

    def changes_meanwhile(_: str) -> bool:
        if amended == [1]:
            amended.append(amend(dispatcher, reference, 9))
        return False

    amended = [1]
    body = read_shipment(dispatcher, reference, client_has=changes_meanwhile)

    assert (body["seq"], body["pieces"]) == (2, 9)
    assert read_shipment(dispatcher, reference)["seq"] == 2


def test_what_a_transaction_reads_is_not_cached_for_others(dispatcher: Subject) -> None:
    reference = factories.booked_shipment(dispatcher).reference
    read_list(dispatcher)

    with transaction.atomic():
        amend(dispatcher, reference, 666)
        inside = read_shipment(dispatcher, reference)["pieces"], read_list(dispatcher)[0]["pieces"]
        transaction.set_rollback(True)
    amend(dispatcher, reference, 5)

    assert inside == (666, 666)
    assert (read_shipment(dispatcher, reference)["pieces"], read_list(dispatcher)[0]["pieces"]) == (5, 5)


def test_numbering_events_does_not_change_the_version(dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)
    before = versions.current_version(dispatcher.organization_id)
    while number_batch():
        pass
    after = versions.current_version(dispatcher.organization_id)
    factories.booked_shipment(dispatcher)

    assert before is not None
    assert after is not None
    assert after[:2] == before[:2]
    assert (versions.current_version(dispatcher.organization_id) or ())[:2] == (before.events + 1, before.epoch)


@pytest.mark.django_db
def test_with_too_many_unnumbered_events_there_is_no_version() -> None:
    organization = factories.organization()

    def wait(count: int) -> None:
        UnnumberedEvent.objects.bulk_create(
            UnnumberedEvent(event_id=uuid.uuid4(), organization_id=organization.pk) for _ in range(count)
        )

    wait(1_000)
    at_most = versions.current_version(organization.pk)
    wait(1)

    assert at_most is not None
    assert at_most.events == 1_000
    assert versions.current_version(organization.pk) is None


def test_a_renamed_driver_or_customer_and_a_new_position_show_at_once(dispatcher: Subject) -> None:
    driver, customer = (
        drivers.create(by=dispatcher, now=NOW, name="Old driver", phone="1"),
        customers.create(by=dispatcher, now=NOW, name="Old customer"),
    )
    reference = factories.booked_shipment(dispatcher, driver_id=driver.pk, customer_id=customer.pk).reference
    before = [read_shipment(dispatcher, reference), *read_list(dispatcher)]

    drivers.amend(by=dispatcher, now=NOW, driver_id=driver.pk, changes={"name": "New driver", "phone": "2"})
    customers.amend(by=dispatcher, now=NOW, customer_id=customer.pk, changes={"name": "New customer"})
    factories.report_position(driver, 1.5, 2.5)
    after = [read_shipment(dispatcher, reference), *read_list(dispatcher)]
    factories.report_position(driver, 3.5, 2.5, NOW + timedelta(seconds=1))

    assert [each["position"] for each in before] == [None, None]
    for each in after:
        assert each["driver"] == {"id": str(driver.pk), "name": "New driver", "phone": "2"}
        assert each["customer"]["name"] == "New customer"
        assert each["position"] == {"latitude": 1.5, "longitude": 2.5, "recordedAt": "2026-03-02T12:00:00Z"}
    assert [
        each["position"]["latitude"] for each in [read_shipment(dispatcher, reference), *read_list(dispatcher)]
    ] == [
        3.5,
        3.5,
    ]


def test_a_customer_never_gets_entries_of_staff(dispatcher: Subject) -> None:
    organization = Organization.objects.get(pk=dispatcher.organization_id)
    customer = factories.member(organization, "customer")
    booking = factories.booked_shipment(
        dispatcher, customer_id=customer.customer_id, notes="pays late",
        driver_id=factories.driver(organization, phone="+31 6 999").pk,
    )  # fmt: skip
    factories.booked_shipment(dispatcher)
    ask = [f"/api/shipments/{booking.reference}", "/api/shipments"]

    staff = [Api(dispatcher).get(path).content for path in ask for _ in range(2)]
    theirs = [Api(customer).get(path).content for path in ask for _ in range(2)]

    assert all(b"pays late" in each and b"+31 6 999" in each for each in staff)
    assert not any(b"pays late" in each or b"+31 6 999" in each for each in theirs)
    assert [each["reference"] for each in json.loads(theirs[-1])["results"]] == [booking.reference]


@pytest.mark.parametrize("role", ["driver", "customer"])
def test_a_member_bound_to_no_party_gets_no_entry_of_others(dispatcher: Subject, role: str) -> None:
    factories.booked_shipment(dispatcher, reference="MINE")
    Api(dispatcher).get("/api/shipments")
    nobody = Subject(organization_id=dispatcher.organization_id, role=role, user_id=uuid.uuid4())

    assert read_list(nobody) == []
    assert prepared.get_shipment(nobody, nobody.variant, "MINE") is None


def test_one_reference_in_two_organisations_is_two_shipments(dispatcher: Subject) -> None:
    rival = factories.member(factories.organization("Rival"), "dispatcher")
    for by, pieces in ((dispatcher, 1), (rival, 2)):
        factories.booked_shipment(by, reference="SAME", pieces=pieces)
        read_shipment(by, "SAME")

    assert [read_shipment(by, "same")["pieces"] for by in (dispatcher, rival)] == [1, 2]
    assert [read_list(by)[0]["pieces"] for by in (dispatcher, rival)] == [1, 2]


def test_a_lost_assignment_counts_at_once(dispatcher: Subject) -> None:
    organization = Organization.objects.get(pk=dispatcher.organization_id)
    driver = factories.member(organization, "driver")
    reference = factories.booked_shipment(dispatcher, driver_id=driver.driver_id).reference
    read_shipment(driver, reference)

    services.amend(by=dispatcher, now=NOW, reference=reference, changes={"driver_id": None})

    assert prepared.get_shipment(driver, driver.variant, reference) is None
    assert read_list(driver) == []


def test_warm_and_cold_are_the_same_bytes(dispatcher: Subject) -> None:
    reference = factories.booked_shipment(dispatcher, notes="fragile").reference
    path = f"/api/shipments/{reference}"
    cold, warm = (Api(dispatcher).get(path) for _ in range(2))
    known = Api(dispatcher).get(path, If_None_Match=cold["ETag"])

    assert cold.content == warm.content
    assert cold["ETag"] == warm["ETag"]
    assert cold["Content-Type"] == "application/json"
    assert (known.status_code, known.content) == (304, b"")
    assert read_shipment(dispatcher, reference) == cold.json()


def test_an_unchanged_list_is_not_sent_again(dispatcher: Subject) -> None:
    shipment = factories.booked_shipment(dispatcher)
    first = Api(dispatcher).get("/api/shipments")
    again = Api(dispatcher).get("/api/shipments", If_None_Match=first["ETag"])
    amend(dispatcher, shipment.reference, 7)
    changed = Api(dispatcher).get("/api/shipments", If_None_Match=first["ETag"])

    assert (again.status_code, again.content) == (304, b"")
    assert (changed.status_code, changed.json()["results"][0]["pieces"]) == (200, 7)


def test_nothing_in_redis_is_pickled(dispatcher: Subject) -> None:
    prepared.shipment_cache.set(f"plain:{uuid.uuid4()}", {"a": 1})
    read_shipment(dispatcher, factories.booked_shipment(dispatcher).reference)
    read_list(dispatcher)
    client = get_redis_connection("default")
    values = [value for key in client.scan_iter(f"{service.key_prefix()}*{dispatcher.organization_id}*")
              if (value := client.get(key))]  # fmt: skip

    bodies = [line for value in values for line in value[service.STAMP_BYTES :].split(b"\n")]

    assert len(values) == 2
    assert all(isinstance(orjson.loads(body), dict) for body in bodies)


def test_warming_up_makes_reads_hits(dispatcher: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    references = [factories.booked_shipment(dispatcher, status="draft").reference for _ in range(30)]
    expected = Shipment.objects.not_deleted().filter(status="draft").count()

    call_command("warmup_cache", "--status", "draft", "--batch", "7")
    report = json.loads(capsys.readouterr().out)
    before = vars(prepared.shipment_cache.stats).copy()
    for number, reference in enumerate(itertools.chain(references, references)):
        if number % 10 == 0:
            amend(dispatcher, reference, number + 1)
        read_shipment(dispatcher, reference)
    after = vars(prepared.shipment_cache.stats)

    assert (report["shipments"], report["stored"]) == (expected, expected)
    assert after["misses"] - before["misses"] == 6
    assert after["hits"] - before["hits"] == 54


def test_without_redis_reads_are_right_and_quick(
    dispatcher: Subject, settings: Any, fresh_redis_breaker: None
) -> None:
    gone = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:9/0"}
    settings.CACHES = {**settings.CACHES, "default": gone}
    reference = factories.booked_shipment(dispatcher).reference
    pieces_read = []
    started = time.monotonic()

    for pieces in range(1, 21):
        amend(dispatcher, reference, pieces)
        pieces_read.append((read_shipment(dispatcher, reference)["pieces"], read_list(dispatcher)[0]["pieces"]))

    assert pieces_read == [(pieces, pieces) for pieces in range(1, 21)]
    assert time.monotonic() - started < 3
