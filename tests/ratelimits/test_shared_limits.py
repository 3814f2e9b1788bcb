"""The API keys of one user have a limit together, beside the limit of each."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from freight.fast_path.application import FastPathApplication
from monitoring.dependencies.breaker import redis_breaker
from ratelimits import async_limiter, changes, counters, limiter, overrides
from realtime.protocol.close_codes import CloseCode
from shipments.auth import bearers, subjects
from shipments.auth.subjects import Subject
from shipments.selectors import async_pool
from shipments.services.accounts import api_keys
from tests import factories
from tests.factories import NOW
from tests.freight.fast_path.asgi_client import RecordingDjango, ask
from tests.narrowing import present
from tests.ratelimits.burst_clients import ClientPool, open_socket
from tests.ratelimits.redis_commands import captured_commands, is_any_counted_alone
from tests.ratelimits.server_pair import CHANGE_SECONDS, OPERATOR, ServerPair, set_key_limit, unused_network

pytestmark = pytest.mark.usefixtures("fresh_redis_breaker", "environment_limits")


@pytest.fixture
def environment_limits() -> Iterator[None]:
    """Start and end every test with the limits of the environment."""
    overrides._state.overrides = overrides.LimitOverrides()
    yield
    overrides._state.overrides = overrides.LimitOverrides()


@pytest.fixture
def small(settings: Settings) -> None:
    """Give a key four requests, and the keys of a user twelve together."""
    settings.RATE_LIMITS = settings.RATE_LIMITS | {
        "general": (4, 900), "ai": (4, 900), "export": (4, 900), "ws_connect": (4, 900),
    }  # fmt: skip
    settings.RATE_LIMIT_USER_FACTOR = 3


def key_subjects(number: int) -> list[Subject]:
    """Return the subjects of keys of one user that nobody has stored."""
    user = uuid.uuid4()
    return [
        Subject(organization_id=uuid.uuid4(), role="admin", user_id=user, key_id=uuid.uuid4())
        for _ in range(number)
    ]


def count(subject: Subject, *policies: str) -> list[limiter.Usage]:
    return limiter.check(policies or ("general",), subject.limit_key, subject=subject)


def is_allowed(subject: Subject) -> bool:
    return limiter.retry_after(count(subject)) is None


def create_keys(number: int, subject: Subject | None = None, **options: Any) -> tuple[Subject, list[str]]:
    """Return an administrator, and the secrets of API keys of it."""
    owner = subject or factories.member(factories.organization(), "admin")
    scopes = ["shipments:read", "ai:use"]
    return owner, [
        api_keys.create(by=owner, now=timezone.now(), name="scanner", scopes=scopes, **options)[1]
        for _ in range(number)
    ]


def test_fifty_keys_have_a_small_multiple_of_the_limit_of_one(small: None) -> None:
    keys = key_subjects(50)

    allowed = [is_allowed(key) for _ in range(4) for key in keys]

    assert sum(allowed) == 12


def test_parallel_requests_of_many_keys_are_counted_exactly(settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (20, 900)}
    settings.RATE_LIMIT_USER_FACTOR = 3

    for _ in range(3):
        keys = key_subjects(10)
        with ThreadPoolExecutor(40) as pool:
            allowed = list(pool.map(is_allowed, keys * 40))
        if not is_any_counted_alone("general", [key.limit_key for key in keys]):
            break
        redis_breaker.reset()

    assert sum(allowed) == 60


def test_a_key_that_floods_uses_up_its_own_limit_only(small: None) -> None:
    flooding, *others = key_subjects(3)

    assert sum(is_allowed(flooding) for _ in range(100)) == 4
    assert [sum(is_allowed(other) for _ in range(4)) for other in others] == [4, 4]


def test_the_login_of_a_user_is_counted_apart_from_its_keys(small: None) -> None:
    keys = key_subjects(4)
    for key in keys:
        for _ in range(4):
            is_allowed(key)
    login = Subject(organization_id=uuid.uuid4(), role="admin", user_id=keys[0].user_id)

    assert not is_allowed(keys[0])
    assert [is_allowed(login) for _ in range(5)] == [True] * 4 + [False]


def test_the_headers_show_the_tighter_limit(small: None) -> None:
    first, second, third, last = key_subjects(4)
    shown = [limiter.headers(count(first))["RateLimit"].partition(";t=")[0]]
    for key in (second, third):
        for _ in range(4):
            count(key)

    usages = [count(last) for _ in range(4)]

    shown += [limiter.headers(each)["RateLimit"].partition(";t=")[0] for each in usages]
    assert shown == ['"general";r=3', '"general";r=2', '"general";r=1', '"general";r=0', '"general";r=0']
    assert limiter.headers(usages[-1])["RateLimit-Policy"] == '"general";q=12;w=900'
    assert limiter.headers(usages[-1])["Retry-After"] == str(usages[-1][0].reset)


def test_every_policy_has_the_shared_limit(small: None) -> None:
    keys = key_subjects(10)

    for policy in ("ai", "export", "ws_connect"):
        allowed = [limiter.retry_after(count(key, policy)) is None for _ in range(4) for key in keys]
        assert sum(allowed) == 12


@pytest.mark.django_db
@pytest.mark.parametrize(("own", "passed"), [(30, 30), (None, 40)])
def test_a_key_with_a_limit_of_its_own_counts_alone(small: None, own: int | None, passed: int) -> None:
    raised, *others = key_subjects(4)
    changes.set_key(by=OPERATOR, now=NOW, policy="general", key=raised.limit_key, most=own)
    overrides.refresh()

    assert sum(is_allowed(raised) for _ in range(40)) == passed
    assert sum(is_allowed(other) for other in others for _ in range(4)) == 12


@pytest.mark.django_db
@pytest.mark.parametrize(("own", "passed"), [(5, 5), (None, 40)])
def test_an_operator_changes_the_limit_of_all_keys_of_a_user(small: None, own: int | None, passed: int) -> None:
    keys = key_subjects(10)
    shared = f"keys:{keys[0].user_id}"
    changes.set_key(by=OPERATOR, now=NOW, policy="general", key=shared.upper(), most=own)
    overrides.refresh()

    assert sum(is_allowed(key) for key in keys for _ in range(4)) == passed


@pytest.mark.django_db
def test_a_reset_gives_the_keys_of_a_user_their_window_anew(small: None) -> None:
    keys = key_subjects(8)
    before = sum(is_allowed(key) for key in keys[:4] for _ in range(4))

    used = changes.reset(by=None, now=NOW, key=f"keys:{keys[0].user_id}")

    assert before == 12
    assert used == {"general": 16}
    assert sum(is_allowed(key) for key in keys[4:] for _ in range(4)) == 12


def test_a_service_on_the_whitelist_has_no_shared_limit(small: None, settings: Settings) -> None:
    keys = key_subjects(10)
    settings.RATE_LIMIT_WHITELIST = [str(keys[0].user_id)]

    assert all(is_allowed(key) for key in keys for _ in range(6))


def test_without_redis_the_process_counts_keys_together_too(small: None, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    flooding, *others = key_subjects(10)

    assert sum(is_allowed(flooding) for _ in range(20)) == 4
    assert sum(is_allowed(other) for other in others for _ in range(4)) == 8


def test_a_request_counts_once_in_the_totals(small: None) -> None:
    client: Any = counters.redis_client()
    keys = key_subjects(5)

    def totals() -> list[int]:
        stored = client.hmget(counters.redis_key("totals"), "general:hits", "general:rejections")
        return [int(each or 0) for each in stored]

    before = totals()
    for key in keys:
        for _ in range(5):
            count(key)

    assert [now - then for now, then in zip(totals(), before, strict=True)] == [25, 13]


async def test_coroutines_count_keys_together(small: None) -> None:
    keys = key_subjects(10)

    usages = await asyncio.gather(
        *(async_limiter.check("general", key.limit_key, subject=key) for _ in range(6) for key in keys)
    )

    assert sum(usage is not None and usage.allowed for usage in usages) == 12


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/auth/me", "/api/ai/x"])
def test_a_request_by_a_key_is_one_round_trip(path: str) -> None:
    redis: Any = counters.redis_client()
    _, [secret] = create_keys(1)
    client = Client(headers={"authorization": f"Bearer {secret}"})
    client.get(path)  # opens the connection and loads the script

    with captured_commands(redis) as commands:
        client.get(path)

    assert commands == ["EVALSHA"]


@pytest.mark.django_db
def test_requests_by_keys_of_one_user_are_limited_together(small: None) -> None:
    _, secrets = create_keys(6)
    _, [stranger] = create_keys(1)

    def status(secret: str) -> int:
        return Client().get("/api/auth/me", headers={"authorization": f"Bearer {secret}"}).status_code

    assert Counter(status(secret) for secret in secrets for _ in range(4)) == {200: 12, 429: 12}
    assert status(stranger) == 200


def test_a_device_key_has_no_user_to_share_with(db: None) -> None:
    assert Subject(organization_id=uuid.uuid4(), role="device", key_id=uuid.uuid4()).shared_limit_key is None
    owner, [secret] = create_keys(1)
    subject = present(bearers.authenticate(secret, now=timezone.now()))
    assert subject.shared_limit_key == f"keys:{owner.user_id}"
    assert subjects.system_subject(uuid.uuid4(), name="relay").shared_limit_key is None


# -- the fast path and real servers ---------------------------------------------------------------------------


@pytest_asyncio.fixture
async def pools() -> AsyncIterator[None]:
    yield
    await async_pool.close_pools()


async def test_the_fast_path_counts_the_same(committed: None, small: None, pools: None) -> None:
    owner, secrets = await sync_to_async(create_keys)(6)
    shipment = await sync_to_async(factories.booked_shipment)(owner)
    django = RecordingDjango()
    application = FastPathApplication(django)

    answers = [
        await ask(application, f"/api/shipments/{shipment.reference}", authorization=f"Bearer {secret}")
        for secret in secrets
        for _ in range(4)
    ]

    assert Counter(answer.status for answer in answers) == {200: 12, 429: 12}
    assert answers[12].headers["ratelimit-policy"] == '"general";q=12;w=900'
    assert django.paths == []


@pytest.mark.journey
async def test_bursts_of_many_keys_at_two_servers_are_counted_exactly(committed: None, pair: ServerPair) -> None:
    owner, secrets = await sync_to_async(create_keys)(10)
    sentinel = f"{unused_network()}::1"
    await sync_to_async(set_key_limit)("general", f"keys:{owner.user_id}", 50)
    await sync_to_async(set_key_limit)("ws_connect", f"keys:{owner.user_id}", 7)
    await sync_to_async(set_key_limit)("general", f"address:{sentinel}", 77)

    async with ClientPool(pair.ports, 20) as clients:
        began = time.monotonic()
        # A server that applies the last change applies all of them.
        while {each.quota for each in await clients.request_all("/api/nothing", address=sentinel)} != {77}:
            assert time.monotonic() - began < CHANGE_SECONDS
            await asyncio.sleep(0.02)
        answers = []
        for secret in secrets:
            headers = {"Authorization": f"Bearer {secret}"}
            answers += await clients.request_all("/api/auth/me", address="192.0.2.3", headers=headers)
    sockets = await asyncio.gather(
        *(
            open_socket(pair.ports[number % 2], address=f"{unused_network()}::1", token=secret)
            for number, secret in enumerate(secrets)
        )
    )

    assert Counter(answer.status for answer in answers) == {200: 50, 429: 150}
    assert Counter(each.code for each in sockets) == {0: 7, CloseCode.TOO_MANY_MESSAGES: 3}
