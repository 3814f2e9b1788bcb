"""A page that stays cached after a commit is, byte for byte, what would be read now."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection, transaction

from shipments import services
from shipments.auth.subjects import Subject
from shipments.caching import versions
from shipments.domain import lifecycle
from shipments.models import Organization, Shipment
from shipments.parsing.query_parameters import InvalidFields
from shipments.selectors.lists.definitions import SHIPMENTS
from shipments.selectors.lists.paging import CursorPosition
from shipments.selectors.lists.parsing import parse_list_query
from shipments.services.accounts import customers
from shipments.services.feed import sequencer
from shipments.services.fleet import drivers
from shipments.services.shipments import flags
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api

PAGES = [
    "/api/shipments",
    "/api/shipments?limit=2",
    "/api/shipments?status=booked&limit=2",
    "/api/shipments?limit=3&status=dispatched",
    "/api/shipments?status=draft,booked&limit=3",
    "/api/shipments?status=in_transit",
    "/api/shipments?status=at_pickup&limit=1",
    "/api/shipments?status=booked&limit=1",
    "/api/shipments?status=cancelled&limit=1",
    "/api/shipments?limit=2&ordering=updatedAt",
    "/api/shipments?flag=delayed",
]


@pytest.fixture
def dispatcher(committed: None) -> Subject:
    return factories.member(factories.organization(), "dispatcher")


class RandomWrites:
    """Random writes of every kind to one organisation's shipments, drivers and customers."""

    def __init__(self, by: Subject, seed: int) -> None:
        self.by = by
        self.chance = random.Random(seed)
        self.driver = drivers.create(by=by, now=NOW, name="Dana", phone="1")
        self.customer = customers.create(by=by, now=NOW, name="Northwind")
        self.minutes = 0
        self.acts: list[Callable[[], object]] = [
            self.book, self.book, self.advance, self.advance, self.advance, self.advance, self.amend, self.amend,
            self.discard, self.raise_flag, self.rename_driver, self.rename_customer,
        ]  # fmt: skip

    def act(self) -> None:
        self.minutes += 1
        with suppress(lifecycle.IllegalTransition, services.NotADraft):
            self.chance.choice(self.acts)()
        if self.chance.random() < 0.7:  # as the relay does
            sequencer.number_batch()

    @property
    def now(self) -> Any:
        return NOW + timedelta(minutes=self.minutes)

    def any(self, **filters: Any) -> str:
        rows = Shipment.objects.filter(organization_id=self.by.organization_id, deleted_at=None, **filters)
        return str(self.chance.choice(sorted(rows.values_list("reference", flat=True)) or ["none"]))

    def book(self) -> None:
        status = self.chance.choice(["draft", "booked"])
        factories.booked_shipment(
            self.by, now=self.now, driver_id=self.driver.pk, customer_id=self.customer.pk, status=status
        )

    def advance(self) -> None:
        reference = self.any()
        status = Shipment.objects.get(reference=reference).status
        to = self.chance.choice(sorted(lifecycle.STATES))
        if status in {"draft", "booked", "dispatched", "at_pickup"} and self.chance.random() < 0.7:
            to = {"draft": "booked", "booked": "dispatched", "dispatched": "at_pickup", "at_pickup": "in_transit"}[
                status
            ]
        services.advance(by=self.by, now=self.now, reference=reference, to=to, reason="because")

    def amend(self) -> None:
        pieces = self.chance.randrange(1, 100)
        services.amend(by=self.by, now=self.now, reference=self.any(), changes={"pieces": pieces})

    def discard(self) -> None:
        services.discard(by=self.by, now=self.now, reference=self.any())

    def raise_flag(self) -> None:
        flags.open_flag(by=self.by, now=self.now, reference=self.any(), flag="on_hold", reason="papers")

    def rename_driver(self) -> None:
        name = f"Dana {self.minutes}"
        drivers.amend(by=self.by, now=self.now, driver_id=self.driver.pk, changes={"name": name})

    def rename_customer(self) -> None:
        name = f"Northwind {self.minutes}"
        customers.amend(by=self.by, now=self.now, customer_id=self.customer.pk, changes={"name": name})


@pytest.fixture
def page_checks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Record the results of `is_page_current`."""
    results: list[bool] = []
    is_page_current = versions.is_page_current

    def recording(*args: Any) -> bool:
        results.append(is_page_current(*args))
        return results[-1]

    monkeypatch.setattr(versions, "is_page_current", recording)
    return results


@pytest.mark.parametrize("seed", range(2))
def test_after_any_write_every_page_is_what_would_be_read_now(
    dispatcher: Subject, seed: int, page_checks: list[bool]
) -> None:
    world, api = RandomWrites(dispatcher, seed), Api(dispatcher)
    for _ in range(12):
        world.book()
    for step in range(45):
        world.act()
        for page in PAGES:
            cached = api.get(page)
            with transaction.atomic():  # bypasses the cache
                assert connection.in_atomic_block
                fresh = api.get(page)
            assert cached.status_code == fresh.status_code == 200
            assert cached.content == fresh.content, (step, page)
            assert cached["Link"] == fresh["Link"] if "Link" in fresh else "Link" not in cached

    # Both outcomes occur, or the test would prove nothing.
    assert page_checks.count(True) > 15
    assert page_checks.count(False) > 15


def test_a_shipment_that_leaves_behind_the_page_removes_the_next_page(
    dispatcher: Subject, page_checks: list[bool]
) -> None:
    api = Api(dispatcher)
    older, newer = (
        factories.booked_shipment(dispatcher, now=NOW + timedelta(minutes=number)) for number in range(2)
    )
    sequencer.number_batch()
    page = "/api/shipments?status=booked&limit=1"
    before = api.get(page).json()

    services.amend(by=dispatcher, now=NOW, reference=older.reference, changes={"pieces": 7})
    amended = api.get(page).json()
    services.advance(by=dispatcher, now=NOW, reference=older.reference, to="cancelled", reason="lost")
    after = api.get(page).json()

    assert [each["reference"] for each in before["results"]] == [newer.reference]
    assert before["next"] is not None
    assert amended == before
    assert after == {**before, "next": None}
    assert page_checks == [True, False]


def test_only_unfiltered_pages_and_pages_by_state_are_trackable(dispatcher: Subject) -> None:
    organization = Organization.objects.get(pk=dispatcher.organization_id)
    customer = factories.member(organization, "customer")

    def trackable(subject: Subject, query_string: str) -> versions.TrackablePage | None:
        return versions.trackable_page(parse_list_query(SHIPMENTS, "/api/shipments", query_string, subject))

    assert trackable(customer, "") is None
    for invalid in ("q=x", "cursor=x", "status=nonsense", "status=booked&status=draft", "status="):
        with pytest.raises(InvalidFields):
            trackable(dispatcher, invalid)
    first_page = parse_list_query(SHIPMENTS, "/api/shipments", "", dispatcher)
    cursor = first_page.cursor(CursorPosition(NOW, dispatcher.organization_id))
    for query_string in ("q=xy", "ordering=eta", "flag=delayed", urlencode({"cursor": cursor})):
        assert trackable(dispatcher, query_string) is None
    known = trackable(dispatcher, "limit=5&status=draft,booked")
    assert known is not None
    assert known.states == frozenset({"draft", "booked"})
