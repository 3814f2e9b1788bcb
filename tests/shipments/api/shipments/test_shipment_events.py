"""GET /api/shipments/{reference}/events: the log, by pages and by long poll."""

import asyncio
import json
import threading
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from shipments import services
from shipments.auth import subjects, tokens
from shipments.auth.subjects import Subject
from shipments.models import Organization, RefreshFamily, ShipmentEvent, UnnumberedEvent, User
from shipments.selectors import async_pool, async_reads
from shipments.services.accounts.access_changes import notify_access_changed
from shipments.services.feed import sequencer
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api, field_errors


@pytest.fixture
def path(dispatcher: Subject) -> str:
    shipment = factories.booked_shipment(dispatcher, reference="E-1")
    for pieces in (1, 2, 3):
        services.amend(by=dispatcher, now=NOW, reference="E-1", changes={"pieces": pieces})
    return f"/api/shipments/{shipment.reference}/events"


def numbers(response: Any) -> list[int]:
    return [event["seq"] for event in response.json()["events"]]


@pytest.mark.django_db
def test_the_whole_log_in_order(api: Api, path: str) -> None:
    response = api.get(path)

    assert numbers(response) == [1, 2, 3, 4]
    assert (response.json()["seq"], response.json()["recovered"]) == (4, True)
    assert response.json()["events"][3]["data"]["changes"]["pieces"] == 3


@pytest.mark.django_db
def test_only_events_after_the_given_seq_are_listed(api: Api, path: str) -> None:
    epoch = api.get(path).json()["epoch"]

    assert numbers(api.get(path, {"after": 2, "epoch": epoch})) == [3, 4]
    assert numbers(api.get(path, {"after": 4, "epoch": epoch})) == []
    assert numbers(api.get(path, {"after": 1, "limit": 2})) == [2, 3]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"after": 2, "epoch": "another.00000001"}, "epoch"),
        ({"after": 5, "epoch": "another.00000001"}, "epoch"),
        ({"after": 5}, "ahead"),
    ],
)
def test_another_epoch_or_a_later_seq_is_not_recovered(
    api: Api, path: str, query: dict[str, Any], reason: str
) -> None:
    body = api.get(path, query).json()

    assert (body["recovered"], body["reason"], body["events"], body["seq"]) == (False, reason, [], 4)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"), ("after=x", "after"), ("limit=1001", "limit"), ("limit=0", "limit"),
        ("wait=26", "wait"), ("wait=-1", "wait"), ("after=99999999999999999999", "after"),
        ("since=1", "since"), ("epoch=", "epoch"),
    ],
)  # fmt: skip
def test_invalid_values_are_named(api: Api, path: str, query: str, field: str) -> None:
    response = api.get(f"{path}?{query}")

    assert response.status_code == 400
    assert [name for name, _ in field_errors(response)] == [field]


@pytest.mark.django_db
def test_the_log_of_an_invisible_shipment_is_404(rival: Subject, organization: Organization, path: str) -> None:
    assert Api(rival).get(path).status_code == 404
    assert Api(factories.member(organization, "driver")).get(path).status_code == 404


@pytest.mark.django_db
def test_the_log_is_read_by_at_most_three_queries(api: Api, path: str) -> None:
    api.get(path)

    with CaptureQueriesContext(connection) as queries:
        api.get(path)

    assert len(queries) <= 3  # the shipment, its events, the epoch once a second


@pytest.mark.django_db
def test_the_actor_tells_the_key_and_the_request(dispatcher: Subject, path: str) -> None:
    key = replace(dispatcher, key_id=uuid.uuid4(), key_name="ERP", request_id="order-7")
    services.open_flag(by=key, now=NOW, reference="E-1", flag="damaged")

    by_person, by_key = Api(dispatcher).get(path, {"after": 3}).json()["events"]

    account = {"role": "dispatcher", "id": str(dispatcher.user_id)}
    assert by_person["actor"] == account | {"key": None, "requestId": None}
    assert by_key["actor"] == account | {"key": {"id": str(key.key_id), "name": "ERP"}, "requestId": "order-7"}
    stored = ShipmentEvent.objects.get(pk=by_key["id"])
    assert (stored.actor_key_id, stored.actor_key_name, stored.request_id) == (key.key_id, "ERP", "order-7")


@pytest.mark.django_db
def test_customers_and_links_see_the_role_of_the_actor_alone(
    dispatcher: Subject, organization: Organization, path: str
) -> None:
    customer = factories.member(organization, "customer")
    key = replace(dispatcher, key_id=uuid.uuid4(), key_name="ERP", request_id="order-7")
    services.amend(by=key, now=NOW, reference="E-1", changes={"customer_id": customer.customer_id})

    for viewer in (customer, factories.tracking_link_subject(dispatcher, "E-1")):
        event = Api(viewer).get(path, {"after": 4}).json()["events"][0]
        assert event["actor"] == {"role": "dispatcher", "id": None, "key": None, "requestId": None}


# -- long polls ----------------------------------------------------------------------------------------------


class LongPollClient:
    """A shipment, and an asynchronous client that acts as its dispatcher."""

    def __init__(self) -> None:
        user: User = factories.user(factories.organization(), "dispatcher")
        subject = subjects.subject_of_user(user)
        assert subject is not None
        self.subject = subject
        self.reference = factories.booked_shipment(subject).reference
        login = RefreshFamily.objects.create(
            user=user, created_at=NOW, refreshed_at=NOW, expires_at=NOW.replace(year=2126)
        )
        self.token, _ = tokens.issue_access(
            user_id=user.pk, login_id=login.pk, authz_version=user.authz_version, now=timezone.now()
        )

    async def get(self, query: str, path: str | None = None) -> tuple[Any, float]:
        started = time.monotonic()
        # The real handler holds a thread for each request, as on a server; the test client's does not.
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {self.token}".encode())]
        scope = {
            "type": "http", "method": "GET", "path": path or f"/api/shipments/{self.reference}/events",
            "query_string": query.encode(), "headers": headers,
        }  # fmt: skip
        server = ApplicationCommunicator(ASGIHandler(), scope)
        await server.send_input({"type": "http.request", "body": b""})
        start = await server.receive_output(30)
        assert start["status"] == 200
        body = b""
        while True:
            part = await server.receive_output(30)
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        await server.wait()
        return json.loads(body), time.monotonic() - started

    def change(self, pieces: int) -> None:
        services.amend(by=self.subject, now=NOW, reference=self.reference, changes={"pieces": pieces})


@pytest.fixture
async def long_poll_client(committed: None) -> Any:
    client = await sync_to_async(LongPollClient)()
    yield client
    await async_pool.close_pools()


async def test_a_long_poll_ends_with_the_next_event(long_poll_client: LongPollClient) -> None:
    poll = asyncio.create_task(long_poll_client.get("after=1&wait=10"))
    await asyncio.sleep(0.3)

    await sync_to_async(long_poll_client.change)(5)
    body, seconds = await poll

    assert [event["seq"] for event in body["events"]] == [2]
    assert (body["seq"], body["recovered"]) == (2, True)
    assert seconds < 5


@pytest.mark.parametrize(("path", "after"), [(None, 1), ("/api/events", 0)])
async def test_a_long_poll_ends_with_another_epoch(
    long_poll_client: LongPollClient, path: str | None, after: int
) -> None:
    before = await async_reads.current_epoch()
    poll = asyncio.create_task(long_poll_client.get(f"after={after}&epoch={before}&wait=20", path))
    await asyncio.sleep(0.3)

    epoch = await sync_to_async(factories.new_epoch)()
    body, seconds = await poll

    assert (body["recovered"], body["reason"], body["events"], body["epoch"]) == (False, "epoch", [], epoch)
    assert seconds < 10


async def test_a_long_poll_ends_after_its_wait(long_poll_client: LongPollClient) -> None:
    body, seconds = await long_poll_client.get("after=1&wait=1")

    assert (body["events"], body["seq"], body["recovered"]) == ([], 1, True)
    assert 0.9 < seconds < 5


async def test_a_long_poll_returns_existing_events_at_once(long_poll_client: LongPollClient) -> None:
    body, seconds = await long_poll_client.get("after=0&wait=20")

    assert [event["seq"] for event in body["events"]] == [1]
    assert seconds < 5


async def test_fifty_long_polls_hold_no_thread_each(long_poll_client: LongPollClient) -> None:
    before = threading.active_count()
    polls = [asyncio.create_task(long_poll_client.get("after=1&wait=15")) for _ in range(50)]
    await asyncio.sleep(3)

    threads = threading.active_count()
    await sync_to_async(long_poll_client.change)(5)
    answers = await asyncio.gather(*polls)

    assert threads - before < 10
    assert {len(body["events"]) for body, _ in answers} == {1}


# -- long polls of the feed -----------------------------------------------------------------------------------


class FeedPollClient(LongPollClient):
    """A customer with one shipment among others; the client acts as the customer."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = self.subject
        organization = Organization.objects.get(pk=self.dispatcher.organization_id)
        user: User = factories.user(organization, "customer")
        subject = subjects.subject_of_user(user)
        assert subject is not None
        self.subject, self.user = subject, user
        self.mine = factories.booked_shipment(self.dispatcher, customer_id=subject.customer_id).reference
        login = RefreshFamily.objects.create(
            user=user, created_at=NOW, refreshed_at=NOW, expires_at=NOW.replace(year=2126)
        )
        self.token, _ = tokens.issue_access(
            user_id=user.pk, login_id=login.pk, authz_version=user.authz_version, now=timezone.now()
        )
        number_all()

    def change_one(self, reference: str) -> None:
        services.open_flag(by=self.dispatcher, now=NOW, reference=reference, flag="damaged")
        number_all()

    def lose_access(self) -> None:
        with transaction.atomic():
            notify_access_changed(self.user.pk)
        self.change_one(self.mine)


def number_all() -> None:
    while UnnumberedEvent.objects.exists():
        sequencer.number_batch()


@pytest.fixture
async def feed_poll_client(committed: None) -> Any:
    client = await sync_to_async(FeedPollClient)()
    yield client
    await async_pool.close_pools()


async def test_a_customers_long_poll_passes_over_what_is_not_its_own(feed_poll_client: FeedPollClient) -> None:
    poll = asyncio.create_task(feed_poll_client.get("after=2&wait=20", "/api/events"))
    await asyncio.sleep(0.8)
    await sync_to_async(feed_poll_client.change_one)(feed_poll_client.reference)
    await asyncio.sleep(1.2)
    assert not poll.done()

    await sync_to_async(feed_poll_client.change_one)(feed_poll_client.mine)
    body, _ = await poll

    assert [(each["position"], each["shipmentId"]) for each in body["events"]] == [(4, feed_poll_client.mine)]
    assert (body["seq"], body["nextAfter"], body["recovered"]) == (4, 4, True)


async def test_a_filtered_long_poll_that_finds_nothing_moves_on(feed_poll_client: FeedPollClient) -> None:
    poll = asyncio.create_task(feed_poll_client.get("after=2&wait=3&type=voided", "/api/events"))
    await asyncio.sleep(0.8)
    await sync_to_async(feed_poll_client.change_one)(feed_poll_client.mine)
    body, seconds = await poll

    assert (body["events"], body["seq"], body["nextAfter"], body["recovered"]) == ([], 3, 3, True)
    assert seconds > 2.5


@pytest.mark.parametrize("path", [None, "/api/events"])
async def test_who_is_ahead_and_names_no_epoch_is_told_when_the_time_is_up(
    feed_poll_client: FeedPollClient, path: str | None
) -> None:
    feed_poll_client.reference = feed_poll_client.mine

    body, seconds = await feed_poll_client.get("after=99&wait=1", path)
    at_once, _ = await feed_poll_client.get(f"after=99&wait=25&epoch={body['epoch']}", path)

    for answer in (body, at_once):
        assert (answer["recovered"], answer["reason"], answer["events"]) == (False, "ahead", [])
    assert body["seq"] == (2 if path else 1)
    assert 0.9 < seconds < 5


@pytest.mark.parametrize("path", [None, "/api/events"])
async def test_who_loses_access_while_it_waits_gets_no_event(
    feed_poll_client: FeedPollClient, path: str | None
) -> None:
    client = feed_poll_client
    path = path or f"/api/shipments/{client.mine}/events"
    poll = asyncio.create_task(client.get(f"after={1 if 'shipments' in path else 2}&wait=20", path))
    await asyncio.sleep(0.8)

    await sync_to_async(client.lose_access)()
    body, seconds = await poll

    assert (body["recovered"], body["reason"], body["events"]) == (False, "forbidden", [])
    assert seconds < 10
