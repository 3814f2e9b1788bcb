"""Many writers at once on one shipment: real commits, real locks."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from django.db import connection, transaction

from shipments import services
from shipments.domain.lifecycle import IllegalTransition
from shipments.models import Shipment, ShipmentEvent
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api

WRITERS = 40

pytestmark = pytest.mark.usefixtures("committed")


def numbers(reference: str) -> list[int]:
    return list(
        ShipmentEvent.objects.filter(shipment__reference=reference).order_by("seq").values_list("seq", flat=True)
    )


def test_forty_equal_commands_write_one_event() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(dispatcher)
    # Fewer threads than writers: each holds a connection of the pool.
    start = Barrier(8)

    def command(number: int) -> int:
        if number < 8:
            start.wait(10)
        try:
            moved = services.advance(by=dispatcher, now=NOW, reference=shipment.reference, to="dispatched")
        finally:
            connection.close()
        return moved.seq

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(command, range(WRITERS)))

    assert Counter(statuses) == {2: WRITERS}
    assert numbers(shipment.reference) == [1, 2]
    assert Shipment.objects.get(pk=shipment.pk).seq == 2


def test_of_conflicting_commands_one_wins_and_the_others_are_refused() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(dispatcher)
    path = f"/api/shipments/{shipment.reference}/transitions"

    def command(number: int) -> int:
        try:
            to = "dispatched" if number % 2 else "cancelled"
            return int(Api(dispatcher).post(path, {"to": to}, If_Match='"1.x"').status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(command, range(WRITERS)))

    assert statuses == {200: 1, 412: WRITERS - 1}
    assert numbers(shipment.reference) == [1, 2]


def test_different_commands_leave_no_gap() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(dispatcher)

    def command(number: int) -> bool:
        try:
            before = services.advance(
                by=dispatcher, now=NOW, reference=shipment.reference, to="dispatched" if number % 2 else "booked"
            )
        except IllegalTransition:
            return False
        finally:
            connection.close()
        return before.seq > 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(command, range(WRITERS)))

    head = Shipment.objects.get(pk=shipment.pk).seq
    assert numbers(shipment.reference) == list(range(1, head + 1))


def test_a_lock_that_is_not_released_answers_retry_after() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(dispatcher)
    locked, done = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            Shipment.objects.select_for_update().get(pk=shipment.pk)
            locked.set()
            done.wait(20)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        locked.wait(10)
        response = Api(dispatcher).post(f"/api/shipments/{shipment.reference}/transitions", {"to": "dispatched"})
        done.set()
        held.result(10)

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert response["Content-Type"] == "application/problem+json"
    assert numbers(shipment.reference) == [1]
