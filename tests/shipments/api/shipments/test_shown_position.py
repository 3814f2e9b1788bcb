"""A customer or tracking link sees the driver's position while its shipment is under way, by every door alike."""

import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.test import Client

from freight.fast_path.application import FastPathApplication
from realtime.hub import room_registry
from shipments import representation, services
from shipments.auth.subjects import Subject
from shipments.caching import prepared, service
from shipments.domain import lifecycle
from shipments.models import Driver, Role, Shipment, User
from shipments.selectors import async_pool
from tests import factories
from tests.factories import NOW
from tests.freight.fast_path.asgi_client import RecordingDjango, ask
from tests.journeys.credentials import create_member_credentials
from tests.shipments.api.client import Api

STAFF = {"admin", "dispatcher", "auditor", "driver"}


def hours(number: float) -> datetime:
    return NOW + timedelta(hours=number)


def way_to(state: str) -> tuple[str, ...]:
    """Return the commands that lead from `booked` to a state."""
    ways: deque[tuple[str, ...]] = deque([("booked",)])
    while True:
        way = ways.popleft()
        if way[-1] == state:
            return way[1:]
        ways.extend((*way, to) for to in lifecycle.TRANSITIONS[way[-1]] if to not in way)


@dataclass
class Watched:
    """One shipment of a customer, its driver, and all who may see it."""

    by: Subject
    driver: Driver
    reference: str
    viewers: dict[str, Subject]
    customer_user: User

    def report(self, latitude: float, at: datetime) -> None:
        factories.report_position(self.driver, latitude, 4.0, at)

    def advance(self, *states: str) -> None:
        """Advance by one state an hour, the first at hour 1."""
        for number, state in enumerate(states, 1):
            services.advance(by=self.by, now=hours(number), reference=self.reference, to=state)

    def seen_by(self, name: str) -> set[float | None]:
        """Return the latitudes that the doors of REST show, cold and out of the cache."""
        api = Api(self.viewers[name])
        service._local.clear()  # as another process would: through Redis
        paths = [f"/api/shipments/{self.reference}"] * 2
        if name != "link":
            paths += ["/api/shipments"] * 2 + [f"/api/shipments?ordering=eta&status={','.join(lifecycle.STATES)}"]
        return {latitude(api.get(path).json()) for path in paths}


def latitude(body: dict[str, Any]) -> float | None:
    shipment = body["results"][0] if "results" in body else body
    position = shipment["position"]
    return None if position is None else position["latitude"]


@pytest.fixture
def watched(committed: None) -> Watched:
    organization = factories.organization()
    by = factories.member(organization, "dispatcher")
    driver, customer = factories.driver(organization), factories.customer(organization)
    reference = factories.booked_shipment(by, driver_id=driver.pk, customer_id=customer.pk).reference
    links: dict[str, Any] = {"customer": {"customer": customer}, "driver": {"driver": driver}}
    viewers = {role: factories.member(organization, role, **links.get(role, {})) for role in Role.values}
    viewers["link"] = factories.tracking_link_subject(by, reference)
    user = factories.user(organization, "customer", customer=customer)
    return Watched(by, driver, reference, viewers, user)


@pytest_asyncio.fixture(autouse=True)
async def pools() -> AsyncIterator[None]:
    yield
    await async_pool.close_pools()


@pytest.mark.parametrize("state", lifecycle.STATES)
def test_it_is_shown_while_under_way(watched: Watched, state: str) -> None:
    if state == "draft":
        services.advance(by=watched.by, now=hours(1), reference=watched.reference, to="draft")
    else:
        watched.advance(*way_to(state))
    watched.report(52.0, hours(20))

    seen = {name: watched.seen_by(name) for name in watched.viewers}

    public = {52.0} if state in lifecycle.UNDERWAY else {None}
    assert seen == {name: {52.0} if name in STAFF else public for name in watched.viewers}


def test_positions_from_before_the_pickup_never_show(watched: Watched) -> None:
    watched.report(1.0, hours(0))
    watched.advance("dispatched", "in_transit")
    before = watched.seen_by("customer"), watched.seen_by("link"), watched.seen_by("dispatcher")
    watched.report(2.0, hours(2))

    assert before == ({None}, {None}, {1.0})
    assert watched.seen_by("customer") == watched.seen_by("link") == {2.0}


def test_the_earlier_life_of_another_driver_never_shows(watched: Watched) -> None:
    watched.advance("dispatched", "in_transit")
    watched.report(2.0, hours(3))
    other = factories.driver(watched.driver.organization, name="Otto Other")
    factories.report_position(other, 7.0, 4.0, hours(3.5))

    services.amend(by=watched.by, now=hours(4), reference=watched.reference, changes={"driver_id": other.pk})
    before = watched.seen_by("customer"), watched.seen_by("link")
    factories.report_position(other, 8.0, 4.0, hours(4))

    assert before == ({None}, {None})
    assert watched.seen_by("customer") == watched.seen_by("link") == {8.0}


def test_the_etag_changes_with_what_is_shown_and_with_nothing_else(watched: Watched) -> None:
    path = f"/api/shipments/{watched.reference}"
    customer, dispatcher = Api(watched.viewers["customer"]), Api(watched.viewers["dispatcher"])
    watched.report(1.0, hours(0))
    hidden, told = customer.get(path)["ETag"], dispatcher.get(path)["ETag"]

    watched.report(2.0, hours(0.5))
    still_hidden = customer.get(path, If_None_Match=hidden)
    watched.advance("dispatched", "in_transit")
    under_way = customer.get(path)["ETag"]
    watched.report(3.0, hours(3))
    moved = customer.get(path, If_None_Match=under_way)

    assert still_hidden.status_code == 304
    assert dispatcher.get(path, If_None_Match=told).status_code == 200
    assert (moved.status_code, latitude(moved.json())) == (200, 3.0)
    assert moved["ETag"] != under_way


def test_the_board_shows_what_the_list_shows(watched: Watched) -> None:
    client = Client()
    client.force_login(watched.customer_user)
    watched.advance("dispatched", "in_transit")
    watched.report(2.0, hours(3))
    moving = client.get("/board.json").json()
    services.advance(by=watched.by, now=hours(4), reference=watched.reference, to="delivered")
    delivered = client.get("/board.json").json()

    assert [each["position"]["latitude"] for each in (*moving["shipments"], *moving["movers"])] == [2.0, 2.0]
    assert [each["position"] for each in (*delivered["shipments"], *delivered["movers"])] == [None]


async def test_the_fast_path_shows_what_django_shows(watched: Watched) -> None:
    credentials = await sync_to_async(create_member_credentials)(
        watched.driver.organization, "customer", customer=watched.customer_user.membership.customer
    )
    bearer = await sync_to_async(credentials.bearer)()
    django = RecordingDjango()
    fast_path = FastPathApplication(django)
    seen = []
    for step in ("dispatched in_transit", "", "delivered"):
        await sync_to_async(watched.advance)(*step.split())
        if not step:
            await sync_to_async(watched.report)(2.0, hours(3))
        for target in (f"/api/shipments/{watched.reference}", "/api/shipments"):
            for _ in range(2):
                answer = await ask(fast_path, target, authorization=bearer)
                seen.append(latitude(json.loads(answer.body)))

    assert seen == [None] * 4 + [2.0] * 4 + [None] * 4
    assert django.paths == []


@pytest.mark.parametrize("name", ["customer", "link"])
async def test_the_room_of_a_driver_is_closed_to_those_who_see_only_the_shipment(
    watched: Watched, name: str
) -> None:
    await sync_to_async(watched.advance)("dispatched", "in_transit")
    room = ("driver", str(watched.driver.pk))

    assert await room_registry.find(watched.viewers[name], [room]) == {}
    assert room in await room_registry.find(watched.viewers["dispatcher"], [room])


def test_a_read_of_the_past_tells_no_position(watched: Watched) -> None:
    watched.advance("dispatched", "in_transit")
    watched.report(2.0, hours(3))

    path = f"/api/shipments/{watched.reference}"
    past = {"asOf": "2026-03-02T20:00:00Z"}
    bodies = [Api(watched.viewers[name]).get(path, past).json() for name in ("customer", "link", "dispatcher")]

    assert [body["position"] for body in bodies] == [None] * 3


def test_a_warmed_up_cache_shows_the_same(watched: Watched) -> None:
    watched.report(1.0, hours(0))
    rows = Shipment.objects.filter(reference=watched.reference).values(
        *representation.SHIPMENT_COLUMNS, "organization_id"
    )
    assert prepared.warm_up(rows)

    assert watched.seen_by("customer") == {None}
    assert watched.seen_by("dispatcher") == {1.0}
