"""GET /api/shipments/{reference}/events: the log, and waiting for it."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from shipments import services
from shipments.auth import tokens
from shipments.auth.subjects import Subject
from shipments.models import Organization, RefreshFamily, User
from shipments.selectors import async_pool
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
def test_only_what_is_missing(api: Api, path: str) -> None:
    epoch = api.get(path).json()["epoch"]

    assert numbers(api.get(path, {"after": 2, "epoch": epoch})) == [3, 4]
    assert numbers(api.get(path, {"after": 4, "epoch": epoch})) == []
    assert numbers(api.get(path, {"after": 1, "limit": 2})) == [2, 3]


@pytest.mark.django_db
@pytest.mark.parametrize("query", [{"after": 2, "epoch": "another.00000001"}, {"after": 5}])
def test_another_history_is_never_mixed_in(api: Api, path: str, query: dict[str, Any]) -> None:
    body = api.get(path, query).json()

    assert (body["recovered"], body["reason"], body["events"], body["seq"]) == (False, "epoch", [], 4)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"), ("after=x", "after"), ("limit=1001", "limit"), ("limit=0", "limit"),
        ("wait=26", "wait"), ("wait=-1", "wait"), ("after=99999999999999999999", "after"),
        ("since=1", "since"), ("epoch=", "epoch"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(api: Api, path: str, query: str, field: str) -> None:
    response = api.get(f"{path}?{query}")

    assert response.status_code == 400
    assert [name for name, _ in field_errors(response)] == [field]


@pytest.mark.django_db
def test_strangers_find_nothing(rival: Subject, house: Organization, path: str) -> None:
    assert Api(rival).get(path).status_code == 404
    assert Api(factories.member(house, "driver")).get(path).status_code == 404


@pytest.mark.django_db
def test_the_cost_does_not_grow_with_the_log(api: Api, path: str) -> None:
    api.get(path)

    with CaptureQueriesContext(connection) as queries:
        api.get(path)

    assert len(queries) <= 3  # the shipment, its events, the epoch once a second


# -- waiting ----------------------------------------------------------------------------------------------


class LongPollClient:
    """A shipment, and an asynchronous client that acts as its dispatcher."""

    def __init__(self) -> None:
        user: User = factories.user(factories.organization(), "dispatcher")
        subject = factories.subjects.subject_of_user(user)
        assert subject is not None
        self.subject = subject
        self.reference = factories.booked_shipment(subject).reference
        login = RefreshFamily.objects.create(
            user=user, created_at=NOW, refreshed_at=NOW, expires_at=NOW.replace(year=2126)
        )
        self.token, _ = tokens.issue_access(
            user_id=user.pk, login_id=login.pk, authz_version=user.authz_version, now=timezone.now()
        )

    async def get(self, query: str) -> tuple[Any, float]:
        started = time.monotonic()
        # The real handler: unlike the test client's it keeps a thread for each request, as a server has it.
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {self.token}".encode())]
        scope = {
            "type": "http", "method": "GET", "path": f"/api/shipments/{self.reference}/events",
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
async def waiting(committed: None) -> Any:
    client = await sync_to_async(LongPollClient)()
    yield client
    await async_pool.close_pools()


async def test_waiting_ends_with_the_next_event(waiting: LongPollClient) -> None:
    asked = asyncio.create_task(waiting.get("after=1&wait=10"))
    await asyncio.sleep(0.3)

    await sync_to_async(waiting.change)(5)
    body, seconds = await asked

    assert [event["seq"] for event in body["events"]] == [2]
    assert (body["seq"], body["recovered"]) == (2, True)
    assert seconds < 5


async def test_waiting_ends_when_the_time_is_up(waiting: LongPollClient) -> None:
    body, seconds = await waiting.get("after=1&wait=1")

    assert (body["events"], body["seq"], body["recovered"]) == ([], 1, True)
    assert 0.9 < seconds < 5


async def test_what_is_there_already_is_not_waited_for(waiting: LongPollClient) -> None:
    body, seconds = await waiting.get("after=0&wait=20")

    assert [event["seq"] for event in body["events"]] == [1]
    assert seconds < 5


async def test_fifty_wait_without_a_thread_each(waiting: LongPollClient) -> None:
    before = threading.active_count()
    asked = [asyncio.create_task(waiting.get("after=1&wait=15")) for _ in range(50)]
    await asyncio.sleep(3)

    threads = threading.active_count()
    await sync_to_async(waiting.change)(5)
    answers = await asyncio.gather(*asked)

    assert threads - before < 10
    assert {len(body["events"]) for body, _ in answers} == {1}
