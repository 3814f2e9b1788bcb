"""Keyed, conditional and deadlocking writes in parallel: real commits, real locks."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from shipments import services
from shipments.models import IdempotencyKey, Shipment, ShipmentEvent
from shipments.services import transactions
from tests import factories
from tests.shipments.api.client import Api

REQUESTS = 40
LEAST = {"origin": "NLRTM", "destination": "DEHAM"}

pytestmark = pytest.mark.usefixtures("committed")


def numbers(shipment: Shipment) -> list[int]:
    events = ShipmentEvent.objects.filter(shipment=shipment).order_by("seq")
    return list(events.values_list("seq", flat=True))


def in_parallel(call: Callable[[int], Any], calls: int = REQUESTS) -> list[Any]:
    """Return what the calls returned; fewer threads than calls, each holds a connection of the pool."""

    def closing(number: int) -> Any:
        try:
            return call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(closing, range(calls)))


def test_of_forty_requests_with_one_key_one_has_an_effect() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")

    answers = in_parallel(lambda _: Api(dispatcher).post("/api/shipments", LEAST, Idempotency_Key="one"))

    assert Counter(answer.status_code for answer in answers) == {201: REQUESTS}
    assert len({answer.content for answer in answers}) == 1
    assert Counter("Idempotency-Replayed" in answer for answer in answers) == {True: REQUESTS - 1, False: 1}
    assert Shipment.objects.of_organization(dispatcher.organization_id).count() == 1


def test_a_key_in_flight_for_too_long_is_refused() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    claimed, done = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            IdempotencyKey.objects.create(
                organization_id=dispatcher.organization_id, caller=dispatcher.limit_key, key="one",
                fingerprint=b"", created_at=factories.NOW,
            )  # fmt: skip
            claimed.set()
            done.wait(20)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        claimed.wait(10)
        response = Api(dispatcher).post("/api/shipments", LEAST, Idempotency_Key="one")
        done.set()
        held.result(10)

    assert (response.status_code, response.json()["code"]) == (409, "in_flight")
    assert response["Retry-After"] == "2"
    assert Shipment.objects.of_organization(dispatcher.organization_id).count() == 0


def test_of_forty_amendments_of_one_version_one_wins() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(dispatcher)

    answers = in_parallel(
        lambda number: Api(dispatcher).patch(
            f"/api/shipments/{shipment.reference}", {"pieces": number + 1}, If_Match='"1.x"'
        )
    )

    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: REQUESTS - 1}
    assert numbers(shipment) == [1, 2]


def test_two_deadlocked_writers_both_succeed() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    shipments = [factories.booked_shipment(dispatcher), factories.booked_shipment(dispatcher)]
    met, rounds = Barrier(2, timeout=10), Counter[int]()

    def swap(number: int) -> None:
        def write() -> None:
            rounds[number] += 1
            # Locked in the wrong order on purpose, as no service does.
            for nth, shipment in enumerate(shipments if number else reversed(shipments)):
                if nth == 1 and rounds[number] == 1:
                    met.wait()
                changes = {"pieces": number + 1}
                services.amend(by=dispatcher, now=factories.NOW, reference=shipment.reference, changes=changes)

        transactions.run_in_transaction(write)

    assert in_parallel(swap, calls=2) == [None] * 2
    assert sum(rounds.values()) == 3
    for shipment in shipments:
        assert numbers(shipment) == [1, 2, 3]


def test_a_lock_timeout_is_not_retried() -> None:
    calls = []

    def write() -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("2s",)
            cursor.execute("DO $$ BEGIN RAISE 'held' USING ERRCODE = '55P03'; END $$")

    with pytest.raises(OperationalError, match="held"):
        transactions.run_in_transaction(write)
    assert len(calls) == 1


def test_a_deadlock_is_retried_three_times() -> None:
    calls = []

    def write() -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE 'crossed' USING ERRCODE = '40P01'; END $$")

    with pytest.raises(OperationalError, match="crossed"):
        transactions.run_in_transaction(write)
    assert len(calls) == 1 + 3


@pytest.fixture
def reference_of_lost_commit() -> Iterator[str]:
    """Yield a reference whose COMMIT ends the session: the client cannot know whether it was stored."""
    reference = "DOOMED"
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER doom AFTER INSERT ON shipments_shipment DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.reference = 'DOOMED') EXECUTE FUNCTION end_session();
            """
        )
    yield reference
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER doom ON shipments_shipment; DROP FUNCTION end_session()")


@pytest.mark.parametrize("headers", [{}, {"Idempotency_Key": "one"}])
def test_a_connection_lost_while_committing_is_reported_as_unknown(
    reference_of_lost_commit: str, headers: dict[str, str]
) -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    api = Api(dispatcher)

    response = api.post("/api/shipments", {**LEAST, "reference": reference_of_lost_commit}, **headers)

    assert (response.status_code, response.json()["outcome"]) == (503, "unknown")
    assert response["Retry-After"] == "2"
    assert api.post("/api/shipments", {**LEAST, "reference": "FINE"}, **headers).status_code == 201


def test_a_connection_lost_before_commit_is_reported_as_failed() -> None:
    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(OperationalError):
        transactions.run_in_transaction(write)
    assert transactions.run_in_transaction(lambda: 1) == 1


def test_bulk_writers_in_opposite_orders_leave_no_gap() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    shipments = [factories.booked_shipment(dispatcher), factories.booked_shipment(dispatcher)]

    def swap(number: int) -> Any:
        items = [{"op": "update", "reference": each.reference, "pieces": number + 1} for each in shipments]
        return Api(dispatcher).post("/api/shipments/bulk", {"items": items[:: 1 if number % 2 else -1]})

    answers = in_parallel(swap)

    assert Counter((answer.status_code, answer.json()["succeeded"]) for answer in answers) == {(200, 2): REQUESTS}
    for shipment in shipments:
        assert numbers(shipment) == list(range(1, REQUESTS + 2))


def test_bulk_bookings_of_the_same_references_in_opposite_orders_are_each_done_once() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    factories.booked_shipment(dispatcher)

    def book(number: int) -> Any:
        items = [{"op": "create", "reference": f"R-{nth}", **LEAST} for nth in range(10)]
        return Api(dispatcher).post("/api/shipments/bulk", {"items": items[:: 1 if number % 2 else -1]})

    answers = in_parallel(book, calls=2)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert sum(answer.json()["succeeded"] for answer in answers) == 10
