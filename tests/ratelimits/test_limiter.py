"""Counting against a policy, on the real Redis and without any."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import caches
from pytest_django import Settings

from ratelimits import counters, limiter
from ratelimits.policies import Policy


@pytest.fixture
def key() -> str:
    return f"test:{uuid.uuid4()}"


@pytest.fixture
def redis_gone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHES = {
        **settings.CACHES,
        "limits": {**settings.CACHES["limits"], "LOCATION": "redis://127.0.0.1:9/0"},
    }
    monkeypatch.setattr(counters, "breaker", counters.Breaker())


def test_of_400_parallel_requests_exactly_the_limit_passes(key: str) -> None:
    policy = Policy("general", 100, 900)

    with ThreadPoolExecutor(40) as pool:
        usages = list(pool.map(lambda _: limiter.hit(policy, key), range(400)))

    assert sum(usage.allowed for usage in usages) == 100
    assert sorted(usage.count for usage in usages) == list(range(1, 401))


def test_headers_tell_quota_and_rest(key: str) -> None:
    usage = limiter.hit(Policy("general", 100, 900), key)

    assert usage.headers == {
        "RateLimit-Policy": '"general";q=100;w=900',
        "RateLimit": f'"general";r=99;t={usage.reset}',
    }
    assert 1 <= usage.reset <= 900


def test_a_refusal_says_when_to_come_back(key: str) -> None:
    policy = Policy("general", 1, 900)
    limiter.hit(policy, key)

    refused = limiter.hit(policy, key)

    assert not refused.allowed
    assert refused.headers["Retry-After"] == str(refused.reset)


def test_a_count_is_one_round_trip(key: str) -> None:
    client = caches["limits"].client.get_client(write=True)
    policy = Policy("general", 100, 900)
    limiter.hit(policy, key)
    before = client.info("commandstats")

    limiter.hit(policy, key)

    after = client.info("commandstats")
    grown = {name for name in after if after[name]["calls"] > before.get(name, {"calls": 0})["calls"]}
    # A health check of this process may look at Valkey in between.
    assert grown - {"cmdstat_info", "cmdstat_ping"} == {"cmdstat_incr", "cmdstat_incrby", "cmdstat_expire"} & grown


@pytest.mark.usefixtures("redis_gone")
def test_without_redis_the_process_counts_for_itself(key: str) -> None:
    policy = Policy("general", 3, 900)

    usages = [limiter.hit(policy, key) for _ in range(5)]

    assert [usage.allowed for usage in usages] == [True, True, True, False, False]


def test_a_broken_redis_is_asked_once_a_second() -> None:
    breaker = counters.Breaker()
    breaker.report(ok=False)

    assert [breaker.may_try() for _ in range(3)] == [False, False, False]


def test_the_local_counts_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_MOST_LOCAL_KEYS", 10)
    counts = counters.LocalCounts()

    for number in range(100):
        counts.count(str(number), 900)

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
