"""Counting against a policy, with the real Redis and without one."""

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings

from monitoring.dependencies.breaker import redis_breaker
from ratelimits import async_limiter, counters, limiter
from ratelimits.limiter import Usage
from ratelimits.policies import Policy
from tests.ratelimits.redis_commands import captured_commands, is_any_counted_alone

pytestmark = pytest.mark.usefixtures("patient_redis")


@pytest.fixture
def key() -> str:
    return f"test:{uuid.uuid4()}"


@pytest.fixture
def redis_down(settings: Settings, fresh_redis_breaker: None) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"


def test_of_400_parallel_requests_exactly_the_limit_passes(key: str) -> None:
    policy = Policy("general", 100, 900)

    for burst in range(3):
        with ThreadPoolExecutor(40) as pool:
            usages = list(pool.map(lambda _, key=f"{key}:{burst}": limiter.hit(policy, key), range(400)))
        if not is_any_counted_alone("general", [f"{key}:{burst}"]):
            break
        redis_breaker.reset()

    assert sum(usage.allowed for usage in usages) == 100
    assert sorted(usage.count for usage in usages) == list(range(1, 401))


def test_headers_have_quota_and_remainder(key: str) -> None:
    usage = limiter.hit(Policy("general", 100, 900), key)

    assert usage.headers == {
        "RateLimit-Policy": '"general";q=100;w=900',
        "RateLimit": f'"general";r=99;t={usage.reset}',
    }
    assert 1 <= usage.reset <= 900


def test_a_refusal_has_retry_after(key: str) -> None:
    policy = Policy("general", 1, 900)
    limiter.hit(policy, key)

    refused = limiter.hit(policy, key)

    assert not refused.allowed
    assert refused.headers["Retry-After"] == str(refused.reset)


def test_a_count_is_one_round_trip(key: str) -> None:
    client: Any = counters.redis_client()
    policy = Policy("general", 100, 900)
    limiter.hit(policy, key)

    with captured_commands(client) as commands:
        limiter.hit(policy, key)

    assert commands == ["EVALSHA"]


@pytest.mark.usefixtures("redis_down")
def test_without_redis_the_process_counts_alone(key: str) -> None:
    policy = Policy("general", 3, 900)

    usages = [limiter.hit(policy, key) for _ in range(5)]

    assert [usage.allowed for usage in usages] == [True, True, True, False, False]


def test_the_local_counters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_MAX_LOCAL_KEYS", 10)
    counts = counters.LocalCounters()

    for number in range(100):
        counts.increment(str(number), 900)

    assert len(counts._counts) <= 10


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "address:2001:db8:1:2::/64"),
        (None, "address:unknown"),
    ],
)
def test_an_ipv6_address_counts_with_its_whole_64(address: str | None, key: str) -> None:
    assert limiter.address_key(address) == key


def test_several_policies_are_counted_in_one_round_trip(key: str) -> None:
    client: Any = counters.redis_client()
    policies = [Policy("billing", 30, 900), Policy("general", 100, 900)]
    limiter.hit_all(policies, key)

    with captured_commands(client) as commands:
        usages = limiter.hit_all(policies, key)

    assert [usage.count for usage in usages] == [2, 2]
    assert commands == ["EVALSHA"]


def test_the_stricter_policy_comes_first_and_the_longer_wait_applies(key: str) -> None:
    usages = [Usage(Policy("ai", 20, 60), 21, 40), Usage(Policy("general", 100, 900), 101, 700)]

    assert limiter.headers(usages) == {
        "RateLimit-Policy": '"ai";q=20;w=60, "general";q=100;w=900',
        "RateLimit": '"ai";r=0;t=40, "general";r=0;t=700',
        "Retry-After": "700",
    }


def test_a_changed_limit_goes_on_counting_where_it_was(key: str) -> None:
    for _ in range(5):
        limiter.hit(Policy("general", 100, 900), key)

    usage = limiter.hit(Policy("general", 5, 900), key)

    assert (usage.count, usage.allowed) == (6, False)


def test_counting_goes_on_after_redis_has_lost_its_scripts(key: str) -> None:
    limiter.hit(Policy("general", 100, 900), key)
    client: Any = counters.redis_client()
    client.script_flush()

    assert limiter.hit(Policy("general", 100, 900), key).count == 2


def test_the_list_of_busiest_keys_is_bounded_and_keeps_the_busiest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_MAX_TOP_KEYS", 10)
    client: Any = counters.redis_client()
    top = counters.redis_key("top", counters.slot_number(time.time()))
    client.delete(top)
    policy = Policy(f"p{uuid.uuid4().hex[:8]}", 100, 900)

    for number in range(60):
        limiter.hit(policy, "the-busy-one")
        limiter.hit(policy, f"passer-by-{number}")

    assert client.zcard(top) <= 20
    assert client.zrange(top, 0, 0, desc=True, withscores=True) == [(f"{policy.name} the-busy-one".encode(), 60)]
    client.delete(top)


async def test_coroutines_share_round_trips_and_every_hit_counts(key: str, settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ws_connect": (10, 60)}

    usages = await asyncio.gather(*(async_limiter.check("ws_connect", f"{key}{n % 2}") for n in range(80)))

    assert [sum(usage is not None and usage.allowed for usage in usages[n::2]) for n in range(2)] == [10, 10]
    assert [usage.count for usage in usages[::2] if usage] == list(range(1, 41))


@pytest.mark.parametrize(
    ("subject", "exempt"),
    [
        (SimpleNamespace(key_name="batch-processor", is_staff=True), True),
        (SimpleNamespace(key_name="batch-processor", is_staff=False), False),
        (SimpleNamespace(name="batch-processor", is_staff=True), True),
        (SimpleNamespace(name="batch-processor", is_staff=False), False),
        (SimpleNamespace(user_id=uuid.UUID(int=7)), True),
        (SimpleNamespace(user_id=uuid.UUID(int=8), key_name="", name=""), False),
        (None, False),
    ],
)
def test_the_whitelist_applies_to_names_of_staff_and_to_ids_only(
    settings: Settings, subject: object, exempt: bool
) -> None:
    settings.RATE_LIMIT_WHITELIST = ["internal-analytics-service", "batch-processor", str(uuid.UUID(int=7))]

    assert limiter.is_exempt(subject) is exempt
