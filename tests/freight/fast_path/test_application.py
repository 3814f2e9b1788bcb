"""The fast path gives Django's response, byte for byte, or leaves the request to Django."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import orjson
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.utils import timezone
from pytest_django import Settings

from freight.fast_path.application import FastPathApplication
from monitoring.dependencies import deadlines
from monitoring.queries import query_timing
from shipments import services
from shipments.models import Organization, Shipment, User
from shipments.selectors import async_pool
from shipments.services.accounts import api_keys, logins
from tests import factories
from tests.drills.harness.fault_proxy import FaultProxy
from tests.freight.fast_path.asgi_client import RecordingDjango, ask
from tests.timing import fastest_reported_seconds

pytestmark = pytest.mark.usefixtures("committed")
# Each reply of Redis comes before the client's timeout.
SLOW_SECONDS = 0.24
PASSWORD = "a-long-demo-password"


@pytest_asyncio.fixture(autouse=True)
async def pools() -> AsyncIterator[None]:
    yield
    await async_pool.close_pools()


@dataclass
class Tenant:
    organization: Organization
    shipment: Shipment
    tokens: dict[str, str]


@pytest.fixture
def tenant(committed: None) -> Tenant:
    organization = factories.organization()
    driver = factories.driver(organization)
    by = factories.member(organization, "dispatcher")
    shipment = factories.booked_shipment(by, driver_id=driver.pk)
    for _ in range(3):
        factories.booked_shipment(by)
    tokens = {}
    for role in ("dispatcher", "auditor", "driver"):
        links = {"driver": driver} if role == "driver" else {}
        tokens[role] = _bearer_token(organization, role, **links)
    return Tenant(organization, shipment, tokens)


def _bearer_token(organization: Organization, role: str, **links: Any) -> str:
    """Return the Authorization header of a new member who has logged in."""
    user = factories.user(organization, role, password=PASSWORD, **links)
    origin = logins.Origin("127.0.0.1", "")
    return f"Bearer {logins.login(email=user.email, password=PASSWORD, origin=origin, now=timezone.now()).access}"


@pytest.mark.parametrize("role", ["dispatcher", "auditor", "driver"])
@pytest.mark.parametrize("target", ["one", "list", "page"])
async def test_a_plain_read_gets_djangos_response(tenant: Tenant, role: str, target: str) -> None:
    django = RecordingDjango()
    path = {
        "one": f"/api/shipments/{tenant.shipment.reference.lower()}",
        "list": "/api/shipments",
        "page": "/api/shipments?limit=1&ordering=-updatedAt",
    }[target]
    theirs = await ask(django, path, authorization=tenant.tokens[role])
    django.paths.clear()

    fast_path = FastPathApplication(django)
    ours = [await ask(fast_path, path, authorization=tenant.tokens[role]) for _ in range(2)]

    assert django.paths == []
    assert [each.comparable for each in ours] == [theirs.comparable] * 2
    assert theirs.status == 200


@pytest.mark.parametrize("more", [{"x_forwarded_proto": "https"}, {}], ids=["https", "http"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_later_responses_have_the_headers_of_the_first(
    tenant: Tenant, settings: Settings, more: dict[str, str], trusted: bool
) -> None:
    https = trusted and bool(more)
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.0/8")] if trusted else []
    settings.SECURE_HSTS_SECONDS = 60
    settings.SECURE_SSL_REDIRECT = True
    django, path, token = (
        RecordingDjango(),
        f"/api/shipments/{tenant.shipment.reference}",
        tenant.tokens["dispatcher"],
    )
    fast_path = FastPathApplication(RecordingDjango())
    theirs = await ask(django, path, authorization=token, **more)

    ours = [await ask(fast_path, path, authorization=token, **more) for _ in range(3)]

    assert [each.comparable for each in ours] == [theirs.comparable] * 3
    assert theirs.status == (200 if https else 301)
    assert ("strict-transport-security" in theirs.headers) is https


async def test_a_known_etag_gets_304_as_by_django(tenant: Tenant) -> None:
    django = RecordingDjango()
    path = f"/api/shipments/{tenant.shipment.reference}"
    token = tenant.tokens["dispatcher"]
    etag = (await ask(django, path, authorization=token)).headers["etag"]
    theirs = await ask(django, path, authorization=token, if_none_match=etag)
    django.paths.clear()

    ours = await ask(FastPathApplication(django), path, authorization=token, if_none_match=etag)

    assert django.paths == []
    assert ours.comparable == theirs.comparable
    assert (ours.status, ours.body) == (304, b"")


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/api/shipments/NOT-THERE", {}),
        ("/api/shipments?limit=0", {}),
        ("/api/shipments?colour=red", {}),
        ("/api/shipments?limit=1&q=ship", {}),
        ("/api/shipments?cursor=forged", {}),
        ("/api/shipments/bulk", {}),
        ("/api/shipments", {"authorization": "Bearer wrong"}),
        ("/api/shipments", {"authorization": "Basic eDp5"}),
        ("/api/shipments", {"origin": "https://elsewhere.example"}),
        ("/api/shipments", {"host": "evil.example"}),
        ("/api/shipments", {"accept": "text/html"}),
        ("/api/shipments/", {}),
    ],
)
async def test_a_request_that_is_not_plain_is_left_to_django(
    tenant: Tenant, target: str, headers: dict[str, str]
) -> None:
    django = RecordingDjango()
    all_headers = {"authorization": tenant.tokens["dispatcher"]} | headers
    theirs = await ask(django, target, **all_headers)
    django.paths.clear()

    ours = await ask(FastPathApplication(django), target, **all_headers)

    assert django.paths == [target.partition("?")[0]]
    assert ours.comparable == theirs.comparable


async def test_a_shipment_of_another_organisation_is_missing(tenant: Tenant) -> None:
    def rival() -> str:
        by = factories.member(factories.organization(), "dispatcher")
        return factories.booked_shipment(by).reference

    reference = await sync_to_async(rival)()

    answer = await ask(
        FastPathApplication(RecordingDjango()),
        f"/api/shipments/{reference}",
        authorization=tenant.tokens["dispatcher"],
    )

    assert answer.status == 404


async def test_concurrent_reads_share_queries_and_get_their_own_responses(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_path, path = FastPathApplication(RecordingDjango()), f"/api/shipments/{tenant.shipment.reference}"
    alone = {role: await ask(fast_path, path, authorization=token) for role, token in tenant.tokens.items()}
    statements = Counter[str]()
    observe = query_timing.observe_query

    def record_query(sql: object, seconds: float) -> None:
        statements[str(sql).split(maxsplit=1)[0]] += 1
        observe(sql, seconds)

    monkeypatch.setattr(query_timing, "observe_query", record_query)
    roles = [role for role in tenant.tokens for _ in range(20)]
    answers = await asyncio.gather(*(ask(fast_path, path, authorization=tenant.tokens[role]) for role in roles))

    assert [each.comparable for each in answers] == [alone[role].comparable for role in roles]
    assert sum(statements.values()) < len(roles) / 2


async def test_concurrent_pages_are_each_of_their_own_organisation(tenant: Tenant) -> None:
    django = RecordingDjango()
    fast_path = FastPathApplication(django)

    def more() -> list[str]:
        others = [factories.organization(), factories.organization()]
        headers = [_bearer_token(each, "dispatcher") for each in others]
        factories.booked_shipment(factories.member(others[0], "dispatcher"))
        gone = _bearer_token(others[1], "auditor")
        left = User.objects.get(membership__organization=others[1], membership__role="auditor")
        logins.revoke_all(left, now=timezone.now())
        by = factories.member(tenant.organization, "admin")
        _, secret = api_keys.create(by=by, now=timezone.now(), name="board", scopes=["shipments:read"])
        return [*headers, tenant.tokens["dispatcher"], tenant.tokens["driver"], f"Bearer {secret}", gone]

    tokens = await sync_to_async(more)()
    theirs = [await ask(django, "/api/shipments", authorization=token) for token in tokens]
    django.paths.clear()

    for _ in range(2):  # built, then cached
        ours = await asyncio.gather(*(ask(fast_path, "/api/shipments", authorization=token) for token in tokens))

        assert [each.comparable for each in ours] == [each.comparable for each in theirs]
    assert [len(orjson.loads(each.body).get("results", [])) for each in ours] == [1, 0, 4, 1, 4, 0]
    assert [each.status for each in ours] == [200] * 5 + [401]
    assert django.paths == ["/api/shipments"] * 2  # the ended login's


async def test_a_read_that_begins_after_a_write_has_returned_shows_it(tenant: Tenant) -> None:
    fast_path, reference = FastPathApplication(RecordingDjango()), tenant.shipment.reference
    token, by = (
        tenant.tokens["dispatcher"],
        await sync_to_async(factories.member)(tenant.organization, "dispatcher"),
    )
    committed, seqs, over = 1, set[int](), asyncio.Event()

    async def follow() -> None:
        while not over.is_set():
            committed_before = committed
            answer = await ask(fast_path, f"/api/shipments/{reference}", authorization=token)
            seq = orjson.loads(answer.body)["seq"]
            assert committed_before <= seq
            seqs.add(seq)

    followers = [asyncio.create_task(follow()) for _ in range(8)]
    for pieces in range(1, 1001):
        if len(seqs) > 20:
            break
        written = await sync_to_async(services.amend)(
            by=by, now=timezone.now() + timedelta(seconds=pieces), reference=reference, changes={"pieces": pieces}
        )
        committed = written.seq
    over.set()
    await asyncio.gather(*followers)

    assert len(seqs) > 20


@pytest.mark.parametrize("target", ["one", "list"])
async def test_a_slow_redis_holds_a_read_for_half_a_second_in_all(
    tenant: Tenant, redis_proxy: FaultProxy, target: str
) -> None:
    django, token = RecordingDjango(), tenant.tokens["dispatcher"]
    fast_path = FastPathApplication(django)
    path = {"one": f"/api/shipments/{tenant.shipment.reference}", "list": "/api/shipments?limit=2"}[target]

    async def read(begins: float) -> float:
        await asyncio.sleep(begins)
        began = time.monotonic()
        with deadlines.request_budget():
            answer = await ask(fast_path, path, authorization=token)
        assert answer.status == 200
        assert "ratelimit" in answer.headers
        return time.monotonic() - began

    await read(0)  # the connections are there
    redis_proxy.faults.delay = SLOW_SECONDS / 2

    async def slowest() -> float:
        return max(await asyncio.gather(*(read(each / 20) for each in range(10))))

    most = deadlines.REDIS_REQUEST_BUDGET_SECONDS + 0.4
    # At least as slow as one call to the slow Redis: the fault is real.
    assert SLOW_SECONDS < await fastest_reported_seconds(slowest, under=most) < most
    assert django.paths == []
