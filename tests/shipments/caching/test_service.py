"""The cache service on a real Valkey, on one that is down and on one that hangs."""

import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from threading import Barrier
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings as current
from django_redis import get_redis_connection
from pytest_django import Settings

from monitoring.dependencies.breaker import redis_breaker
from ratelimits import limiter
from ratelimits.policies import Policy
from shipments.caching import service as cache
from shipments.caching.local_store import LRUStore
from shipments.caching.service import CacheService
from tests.timing import fastest_seconds


@pytest.fixture
def service() -> CacheService:
    return CacheService("test", ttl=60)


@pytest.fixture
def key() -> str:
    return f"test:{uuid.uuid4()}"


@pytest.fixture
def redis_down(settings: Settings, fresh_redis_breaker: None) -> None:
    settings.CACHES = {
        **settings.CACHES,
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:9/0"},
    }


@pytest.fixture
def redis_hangs(settings: Settings, fresh_redis_breaker: None) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        location = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        settings.CACHES = {**settings.CACHES, "default": settings.CACHES["default"] | {"LOCATION": location}}
        yield


def client() -> Any:
    return get_redis_connection("default")


@pytest.mark.parametrize("value", [b"\x00\xff", b"", "text", {"a": [1, None, 2.5]}, [], 0, False], ids=repr)
def test_a_value_is_returned_until_it_is_deleted(service: CacheService, key: str, value: Any) -> None:
    before = service.get(key)
    service.set(key, value)
    stored = service.get(key)
    service.delete(key)

    assert (before, stored, service.get(key)) == (None, value, None)


def test_entries_stored_together_do_not_expire_together(service: CacheService, key: str) -> None:
    service.set_many_stamped((f"{key}:{number}", b"s" * 16, b"body") for number in range(50))

    left = {client().pttl(f"{cache.key_prefix()}{key}:{number}") for number in range(50)}

    assert len(left) > 25
    assert all(53_000 < each <= 66_000 for each in left)


def test_twenty_threads_make_a_value_once(service: CacheService, key: str) -> None:
    start, calls = Barrier(20), []

    def make() -> str:
        calls.append(1)
        time.sleep(0.1)
        return "value"

    def ask(_: int) -> Any:
        start.wait(10)
        return service.get_or_set(key, make)

    with ThreadPoolExecutor(20) as pool:
        values = set(pool.map(ask, range(20)))

    assert (values, len(calls)) == ({"value"}, 1)


def test_a_value_that_another_process_makes_is_waited_for(key: str, fresh_redis_breaker: None) -> None:
    # It waits for as long as a crowded machine may take over the test, and the lock outlives that.
    service = CacheService("test", ttl=60, wait=20)
    client().set(f"{cache.key_prefix()}{key}:lock", b"1", px=60_000)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.get_or_set, key, lambda: "ours")
        while f"{cache.key_prefix()}{key}" not in cache._single_flight._in_flight:
            time.sleep(0.01)
        service.set(key, "theirs")

        assert waiting.result(20) == "theirs"


def test_a_value_that_never_comes_is_waited_for_half_a_second(service: CacheService, key: str) -> None:
    def ask() -> None:
        client().set(f"{cache.key_prefix()}{key}:lock", b"1", px=5000)
        service.delete(key)
        assert service.get_or_set(key, lambda: "ours") == "ours"

    assert 0.45 < fastest_seconds(ask, under=0.8) < 0.8


def test_a_waiter_makes_the_value_itself_in_the_end(service: CacheService, key: str) -> None:
    start = Barrier(4)

    def make() -> str:
        time.sleep(1.0)
        return "value"

    def ask(_: int) -> None:
        start.wait(10)
        service.get_or_set(key, make)

    with ThreadPoolExecutor(4) as pool:

        def four_at_once() -> None:
            service.delete(key)
            list(pool.map(ask, range(4)))

        assert fastest_seconds(four_at_once, under=1.8) < 1.8


def test_an_exception_is_not_cached(service: CacheService, key: str) -> None:
    with pytest.raises(ZeroDivisionError):
        service.get_or_set(key, lambda: 1 // 0)

    assert service.get_or_set(key, lambda: 7) == 7


def test_an_entry_with_another_stamp_is_a_miss(service: CacheService, key: str) -> None:
    old, new = b"1" * 16, b"2" * 16
    service.get_or_set_stamped(key, old, lambda: b"old")

    answers = [service.get_or_set_stamped(key, stamp, lambda: b"new") for stamp in (old, new, new)]

    assert answers == [b"old", b"new", b"new"]


def test_a_late_entry_of_an_older_state_is_never_returned(service: CacheService, key: str) -> None:
    old, new = b"1" * 16, b"2" * 16
    service.get_or_set_stamped(key, new, lambda: b"new")
    service.set_many_stamped([(key, old, b"old")])
    cache._local.clear()

    assert service.get_or_set_stamped(key, new, lambda: b"made again") == b"made again"


def test_scripts_are_loaded_again_after_a_script_flush(service: CacheService, key: str) -> None:
    client().script_flush()

    assert service.get_or_set_stamped(key, b"1" * 16, lambda: b"body") == b"body"
    assert client().get(f"{cache.key_prefix()}{key}") == b"1" * 16 + b"body"
    assert client().exists(f"{cache.key_prefix()}{key}:lock") == 0


def test_a_failure_under_a_stamp_counts_as_a_miss_and_leaves_no_lock(key: str) -> None:
    service = CacheService(key, ttl=60)

    with pytest.raises(ZeroDivisionError):
        service.get_or_set_stamped(key, b"1" * 16, lambda: bytes(1 // 0))

    assert (service.stats.misses, service.stats.hits) == (1, 0)
    assert client().exists(f"{cache.key_prefix()}{key}:lock") == 0


def test_hits_and_misses_are_counted_by_name(key: str) -> None:
    service = CacheService(key, ttl=60)
    service.get(key)
    service.get_or_set_stamped(key, b"1" * 16, lambda: b"body")
    service.get_or_set_stamped(key, b"1" * 16, lambda: b"body")
    cache._local.clear()
    service.get_or_set_stamped(key, b"1" * 16, lambda: b"body")

    assert cache.stats_by_cache()[key] == {
        "hits": 2, "local": 1, "misses": 2, "stored": 1, "unavailable": 0, "hit_rate": 0.5,
    }  # fmt: skip


@pytest.mark.django_db
async def test_clear_leaves_sessions_counters_and_subscriptions_alone(service: CacheService, key: str) -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("test-clear", channel)
    policy = Policy("general", 100, 900)

    def prepare() -> Any:
        service.set(key, "value")
        limiter.hit(policy, key)
        session = import_module(current.SESSION_ENGINE).SessionStore()
        session["who"] = "me"
        session.save()
        return session.session_key

    session_key = await sync_to_async(prepare)()
    gone = await sync_to_async(service.clear)()
    await layer.group_send("test-clear", {"type": "still.here"})

    def look() -> Any:
        session = import_module(current.SESSION_ENGINE).SessionStore(session_key)
        return service.get(key), limiter.hit(policy, key).count, session["who"]

    assert gone >= 1
    assert await sync_to_async(look)() == (None, 2, "me")
    assert (await layer.receive(channel))["type"] == "still.here"


def test_without_redis_values_are_made_at_once(redis_down: None, service: CacheService, key: str) -> None:
    def ask() -> None:
        service.set(key, "lost")
        assert [service.get_or_set(key, lambda: "made") for _ in range(100)] == ["made"] * 100

    assert fastest_seconds(ask, under=0.5) < 0.5


def test_without_redis_a_stamped_entry_stays_in_the_process(
    redis_down: None, service: CacheService, key: str
) -> None:
    stamp = b"1" * 16

    answers = [
        service.get_or_set_stamped(key, stamp, lambda: b"first"),
        service.get_or_set_stamped(key, stamp, lambda: b"second"),
    ]

    assert answers == [b"first", b"first"]


def test_a_redis_that_hangs_is_paid_for_once(redis_hangs: None, service: CacheService, key: str) -> None:
    def ask() -> None:
        redis_breaker.reset()
        assert [service.get_or_set(key, lambda: "made") for _ in range(100)] == ["made"] * 100

    assert 0.25 < fastest_seconds(ask, under=0.6) < 0.6


def test_clear_raises_without_redis(redis_down: None, service: CacheService) -> None:
    with pytest.raises(cache.CacheUnavailable):
        service.clear()


def test_the_local_store_is_bounded() -> None:
    local = LRUStore(1000)
    for number in range(100):
        local.put(f"{number:04}", b"stamp", b"x" * 96)

    remaining = [number for number in range(100) if local.get(f"{number:04}")]

    assert remaining == list(range(90, 100))


def test_a_value_above_max_bytes_is_made_each_time(key: str) -> None:
    small = CacheService("small", ttl=60, max_bytes=100, local_bytes=1000)
    calls: list[int] = []

    def make() -> bytes:
        calls.append(1)
        return b"x" * 101

    bodies = [small.get_or_set_stamped(key, b"s" * 16, make) for _ in range(2)]

    assert (bodies, len(calls), client().exists(f"{cache.key_prefix()}{key}")) == ([b"x" * 101] * 2, 2, 0)


def test_a_cache_with_a_local_store_of_its_own_needs_no_redis_and_evicts_no_others(
    key: str, redis_down: None
) -> None:
    own = CacheService("own", ttl=60, local_bytes=1000)
    calls: list[int] = []

    def make() -> bytes:
        calls.append(1)
        return b"x" * 400

    for at in ("a", "a", "b", "a", "c"):
        own.get_or_set_stamped(f"{key}:{at}", b"s" * 16, make)

    assert len(calls) == 3


def test_a_waiter_takes_over_where_the_holder_has_failed(key: str) -> None:
    patient = CacheService("patient", ttl=60, wait=10.0)
    lock = f"{cache.key_prefix()}{key}:lock"
    client().set(lock, b"1", px=10_000)  # another process holds the lock
    began = time.monotonic()

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(patient.get_or_set_stamped, key, b"s" * 16, lambda: b"made")
        time.sleep(0.1)
        client().unlink(lock)  # and releases it without a value
        body = waiting.result()

    assert (body, time.monotonic() - began < 9) == (b"made", True)
