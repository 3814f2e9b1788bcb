"""The organisation feed: gapless, complete, in the order of each shipment, also under concurrency and kills."""

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction

from shipments import services, signals
from shipments.models import FeedEntry, ShipmentEvent, UnnumberedEvent
from shipments.selectors import feed
from shipments.selectors.feed import FeedQuery
from shipments.services.feed import sequencer
from tests import factories
from tests.drills import relay
from tests.drills.harness.environment import database_url
from tests.factories import NOW

ROOT = Path(__file__).resolve().parents[4]
pytestmark = pytest.mark.usefixtures("committed")


def entries(organization_id: uuid.UUID) -> list[tuple[int, uuid.UUID, int]]:
    rows = FeedEntry.objects.filter(organization_id=organization_id).order_by("position")
    return list(rows.values_list("position", "event__shipment_id", "event__seq"))


def number_all() -> None:
    while UnnumberedEvent.objects.exists():
        sequencer.number_batch()


def assert_gapless(organization_id: uuid.UUID) -> None:
    numbered = entries(organization_id)
    assert [position for position, _, _ in numbered] == list(range(1, len(numbered) + 1))
    assert len(numbered) == ShipmentEvent.objects.filter(organization_id=organization_id).count()
    heads: dict[uuid.UUID, int] = {}
    for _, shipment_id, seq in numbered:
        assert seq == heads.get(shipment_id, 0) + 1
        heads[shipment_id] = seq


def test_every_event_gets_one_position_in_order() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipments = [factories.booked_shipment(by) for _ in range(3)]
    for pieces in range(1, 6):
        for shipment in shipments:
            services.amend(by=by, now=NOW, reference=shipment.reference, changes={"pieces": pieces})

    number_all()

    assert len(entries(by.organization_id)) == 18
    assert_gapless(by.organization_id)


def test_a_clock_that_ran_backwards_does_not_reorder_a_shipments_events() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    # The clock of another process is an hour behind: its ids sort before those of earlier events.
    early = uuid.UUID(int=shipment.pk.int - (3_600_000 << 80))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShipmentEvent._meta.get_field("id"), "default", lambda: early)
        patch.setattr(ShipmentEvent._meta.get_field("id"), "_get_default", lambda: early)
        services.amend(by=by, now=NOW, reference=shipment.reference, changes={"pieces": 1})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequencer, "BATCH", 1)
        number_all()

    assert_gapless(by.organization_id)


def test_concurrent_sequencers_number_nothing_twice() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    stop = threading.Event()

    def sequence() -> None:
        while not stop.is_set():
            sequencer.number_batch()
        connections.close_all()

    threads = [threading.Thread(target=sequence) for _ in range(3)]
    for thread in threads:
        thread.start()
    for pieces in range(1, 60):
        services.amend(by=by, now=NOW, reference=shipment.reference, changes={"pieces": pieces})
    stop.set()
    for thread in threads:
        thread.join()
    number_all()

    assert_gapless(by.organization_id)


def test_a_rolled_back_event_has_no_position() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipment = factories.booked_shipment(by)
    number_all()

    with pytest.raises(services.InvalidArgument):
        services.amend(by=by, now=NOW, reference=shipment.reference, changes={"driver_id": uuid.uuid4()})
    number_all()

    assert len(entries(by.organization_id)) == 1


def test_a_relay_killed_at_random_leaves_nothing_out_and_numbers_nothing_twice() -> None:
    evidence = relay.run(kills=5, seed=7, environment={"DATABASE_URL": database_url()})

    assert evidence.written > 50
    assert evidence.holds, evidence


def test_a_feeds_head_is_looked_up_once_and_not_for_every_event() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    number_all()
    shipment = factories.booked_shipment(by)
    for pieces in range(1, 40):
        services.amend(by=by, now=NOW, reference=shipment.reference, changes={"pieces": pieces})

    with transaction.atomic(), connection.cursor() as cursor:
        parameters = {"batch": sequencer.BATCH, "shown": sequencer.MAX_SHOWN}
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sequencer._NUMBER}", parameters)
        plan = cursor.fetchone()[0][0]["Plan"]

    lookups = [node for node in nodes(plan) if node.get("Alias") == "feed"]
    assert [node["Actual Loops"] for node in lookups] == [1]
    assert_gapless(by.organization_id)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


def test_the_feed_cannot_be_rewritten() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    factories.booked_shipment(by)
    number_all()

    with connection.cursor() as cursor, pytest.raises(Exception, match="append-only"):
        cursor.execute("UPDATE shipments_feedentry SET position = 99")


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Collect what the signal carries, for each feed of each batch."""
    sent: list[dict[str, Any]] = []

    def receive(**fields: Any) -> None:
        sent.append(fields)

    signals.feed_numbered.connect(receive, dispatch_uid="test")
    yield sent
    signals.feed_numbered.disconnect(dispatch_uid="test")


@pytest.mark.parametrize(("most", "shown"), [(4, True), (3, False)])
def test_a_short_batch_is_sent_with_its_entries(
    numbered: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, most: int, shown: bool
) -> None:
    number_all()
    subjects = [factories.member(factories.organization(), "dispatcher") for _ in range(2)]
    first = [factories.booked_shipment(by) for by in subjects]
    number_all()
    numbered.clear()
    monkeypatch.setattr(sequencer, "MAX_SHOWN", most)
    for by, shipment in zip(subjects, first, strict=True):
        for pieces in (1, 2):
            services.amend(by=by, now=NOW, reference=shipment.reference, changes={"pieces": pieces})

    sequencer.number_batch()

    assert {each["organization_id"]: (each["after"], each["position"]) for each in numbered} == {
        by.organization_id: (1, 3) for by in subjects
    }
    for each in numbered:
        by = next(by for by in subjects if by.organization_id == each["organization_id"])
        assert each["entries"] == (feed.read_page(FeedQuery(by), 1, limit=9).entries if shown else [])


def test_the_signal_bounds_the_times_of_the_commits(
    numbered: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    number_all()
    by = factories.member(factories.organization(), "dispatcher")
    before = time.time()
    sequencer.number_batch()
    caught_up = time.time()
    numbered.clear()

    for _ in range(3):
        factories.booked_shipment(by)
    monkeypatch.setattr(sequencer, "BATCH", 2)  # a full batch may leave events behind
    sequencer.number_batch()
    sequencer.number_batch()

    assert [before <= each["committed_after"] <= caught_up for each in numbered] == [True, True]
