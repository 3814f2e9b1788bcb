"""Limits over two real servers: exact under bursts, changed under load, and without Redis."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from shipments.models import AuditEntry
from shipments.services.accounts import api_keys
from tests import factories
from tests.narrowing import present
from tests.ratelimits.burst_clients import Answer, ClientPool
from tests.ratelimits.server_pair import (
    CHANGE_SECONDS,
    GENERAL,
    ServerPair,
    admin_poster,
    break_redis,
    restore_redis,
    set_key_limit,
    unused_network,
    wait_until_shared,
)

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


async def seconds_until_quota(
    clients: ClientPool, quota: int, *, address: str, seconds: float = CHANGE_SECONDS
) -> float:
    """Send requests until both servers apply the quota to the address, and return the seconds."""
    began = time.monotonic()
    while {each.quota for each in await clients.request_all("/api/nothing", address=address)} != {quota}:
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def count_allowed(answers: list[Answer]) -> int:
    assert {each.status for each in answers} <= {404, 429}
    return sum(each.status == 404 for each in answers)


async def test_of_forty_concurrent_requests_exactly_the_limit_passes(pair: ServerPair) -> None:
    rng = random.Random(6)
    limits = {f"{unused_network()}::1": rng.randint(1, 39) for _ in range(100)}
    sentinel = f"{unused_network()}::1"
    for address, most in limits.items():
        await sync_to_async(set_key_limit)("general", f"address:{address}", most)
    await sync_to_async(set_key_limit)("general", f"address:{sentinel}", 77)

    async with ClientPool(pair.ports, 40) as clients:
        await seconds_until_quota(clients, 77, address=sentinel)
        passed = {
            address: count_allowed(await clients.request_all("/api/nothing", address=address)) for address in limits
        }

    assert passed == limits


async def test_addresses_of_one_64_share_their_limit(pair: ServerPair) -> None:
    shared, sentinel = unused_network(), f"{unused_network()}::1"
    await sync_to_async(set_key_limit)("general", f"address:{shared}::", 7)
    await sync_to_async(set_key_limit)("general", f"address:{sentinel}", 77)

    async with ClientPool(pair.ports, 2) as clients:
        await seconds_until_quota(clients, 77, address=sentinel)
        passed = [
            count_allowed(await clients.request_all("/api/nothing", address=f"{shared}::{number:x}"))
            for number in range(10)
        ]

    assert passed == [2, 2, 2, 1, 0, 0, 0, 0, 0, 0]


async def test_a_limit_changed_in_the_admin_applies_at_both_servers_under_load(pair: ServerPair) -> None:
    address = f"{unused_network()}::1"
    admin = await sync_to_async(admin_poster)(pair.daphnes[0])

    async with ClientPool(pair.ports, 2) as clients, background_load(pair) as answers:
        await asyncio.to_thread(admin, "add/", policy="general", most=GENERAL + 1, window=900)
        raised = await seconds_until_quota(clients, GENERAL + 1, address=address)
        pair.redis.kill()
        try:
            await asyncio.to_thread(admin, "general/change/", most=GENERAL + 2, window=900)
            without_redis = await seconds_until_quota(clients, GENERAL + 2, address=address)
        finally:
            restore_redis(pair.redis, "killed")
        await asyncio.to_thread(admin, "general/delete/", post="yes")
        back = await seconds_until_quota(clients, GENERAL, address=address)

    assert max(raised, without_redis, back) < CHANGE_SECONDS
    assert {each.status for each in answers} == {404}
    entries = AuditEntry.objects.filter(action="limit_change", entity_id="general", address="10.0.0.9")
    numbers = [(present(each.before)["max"], present(each.after)["max"]) async for each in entries.order_by("pk")]
    assert numbers == [(GENERAL, GENERAL + 1), (GENERAL + 1, GENERAL + 2), (GENERAL + 2, GENERAL)]


@asynccontextmanager
async def background_load(
    pair: ServerPair, *, path: str = "/api/nothing", headers: Mapping[str, str] | None = None
) -> AsyncIterator[list[Answer]]:
    """Send requests by eight clients without a pause while the block runs; yields the list of their answers."""
    answers: list[Answer] = []
    stopped = asyncio.Event()
    async with ClientPool(pair.ports, 8) as clients:

        async def request_forever(number: int) -> None:
            address = f"{unused_network()}::1"
            while not stopped.is_set():
                answers.append(await clients.connections[number].request(path, address=address, headers=headers))

        tasks = [asyncio.create_task(request_forever(number)) for number in range(8)]
        try:
            yield answers
        finally:
            stopped.set()
            await asyncio.gather(*tasks)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_without_redis_no_request_fails_or_waits_and_limits_apply_per_process(
    pair: ServerPair, fault: str
) -> None:
    address, sentinel = f"{unused_network()}::1", f"{unused_network()}::1"
    credentials = {"Authorization": f"Bearer {await sync_to_async(build_api_key)()}"}
    for each in (address, sentinel):
        await sync_to_async(set_key_limit)("general", f"address:{each}", 10)

    async with ClientPool(pair.ports, 40) as clients:
        await seconds_until_quota(clients, 10, address=sentinel)
        try:
            async with (
                background_load(pair) as anonymous,
                background_load(pair, path="/api/shipments?limit=1", headers=credentials) as members,
            ):
                await asyncio.sleep(1)
                usual = max(each.seconds for each in anonymous + members)
                before = len(anonymous), len(members)
                break_redis(pair.redis, fault)
                await asyncio.sleep(1.5)
            seen = anonymous[before[0] :] + members[before[1] :]
            passed = count_allowed(await clients.request_all("/api/nothing", address=address))
            refused = await asyncio.gather(*login_guesses(clients))
        finally:
            restore_redis(pair.redis, fault)
    await wait_until_shared(pair)

    assert ({each.status for each in anonymous}, {each.status for each in members}) == ({404}, {200})
    # The objective is one second; the rest is for a machine that is busy anyway.
    assert max(each.seconds for each in seen) < 1 + 3 * usual
    # Each server counts alone now.
    assert passed == 20
    # Failed logins are counted in PostgreSQL: the limit holds over both servers.
    assert sorted(each.status for each in refused) == [401] * 5 + [429] * 3


def build_api_key() -> str:
    owner = factories.member(factories.organization(), "admin")
    return api_keys.create(by=owner, now=timezone.now(), name="scanner", scopes=["shipments:read"])[1]


def login_guesses(clients: ClientPool) -> list[Coroutine[Any, Any, Answer]]:
    body = orjson.dumps({"email": f"{uuid.uuid4()}@example.test", "password": "wrong"})
    address = f"{unused_network()}::1"
    return [each.request("/api/auth/login", address=address, body=body) for each in clients.connections[:8]]
