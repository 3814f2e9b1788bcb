"""The limits over two real Daphnes: exact under bursts, changed under load, and without Redis."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from shipments.models import AuditEntry
from shipments.services import api_keys
from tests import factories
from tests.ratelimits.bursts import Answer, Clients
from tests.ratelimits.pair import (
    GENERAL,
    SOON,
    Pair,
    admin_of,
    break_redis,
    limit,
    mend_redis,
    network,
    together_again,
)

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


async def _until(clients: Clients, quota: int, *, address: str, seconds: float = SOON) -> float:
    """This will ask until every server holds the address to the limit, and return how long that took."""
    began = time.monotonic()
    while {each.quota for each in await clients.together("/api/nothing", address=address)} != {quota}:
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def _passed(answers: list[Answer]) -> int:
    assert {each.status for each in answers} <= {404, 429}
    return sum(each.status == 404 for each in answers)


async def test_of_forty_at_once_exactly_the_limit_passes_for_a_hundred_limits(pair: Pair) -> None:
    chance = random.Random(6)
    limits = {f"{network()}::1": chance.randint(1, 39) for _ in range(100)}
    sentinel = f"{network()}::1"
    for address, most in limits.items():
        await sync_to_async(limit)("general", f"address:{address}", most)
    await sync_to_async(limit)("general", f"address:{sentinel}", 77)

    async with Clients(pair.ports, 40) as clients:
        await _until(clients, 77, address=sentinel)
        passed = {address: _passed(await clients.together("/api/nothing", address=address)) for address in limits}

    assert passed == limits


async def test_addresses_of_one_64_share_their_limit(pair: Pair) -> None:
    shared, sentinel = network(), f"{network()}::1"
    await sync_to_async(limit)("general", f"address:{shared}::", 7)
    await sync_to_async(limit)("general", f"address:{sentinel}", 77)

    async with Clients(pair.ports, 2) as clients:
        await _until(clients, 77, address=sentinel)
        passed = [
            _passed(await clients.together("/api/nothing", address=f"{shared}::{number:x}")) for number in range(10)
        ]

    assert passed == [2, 2, 2, 1, 0, 0, 0, 0, 0, 0]


async def test_a_limit_changed_in_the_admin_holds_everywhere_under_load(pair: Pair) -> None:
    address = f"{network()}::1"
    admin = await sync_to_async(admin_of)(pair.daphnes[0])

    async with Clients(pair.ports, 2) as asking, _load(pair) as seen:
        await asyncio.to_thread(admin, "add/", policy="general", most=GENERAL + 1, window=900)
        raised = await _until(asking, GENERAL + 1, address=address)
        pair.redis.kill()
        try:
            await asyncio.to_thread(admin, "general/change/", most=GENERAL + 2, window=900)
            without_redis = await _until(asking, GENERAL + 2, address=address)
        finally:
            mend_redis(pair.redis, "killed")
        await asyncio.to_thread(admin, "general/delete/", post="yes")
        back = await _until(asking, GENERAL, address=address)

    assert max(raised, without_redis, back) < SOON
    assert {each.status for each in seen} == {404}
    written = await sync_to_async(list)(
        AuditEntry.objects.filter(action="limit_change", entity_id="general", address="10.0.0.9").order_by("pk")
    )
    numbers = [(each.before["max"], each.after["max"]) for each in written]
    assert numbers == [(GENERAL, GENERAL + 1), (GENERAL + 1, GENERAL + 2), (GENERAL + 2, GENERAL)]


@asynccontextmanager
async def _load(pair: Pair, *, path: str = "/api/nothing", **headers: str) -> AsyncIterator[list[Answer]]:
    """Eight clients that ask without a pause while the block runs; what they were told is yielded."""
    seen: list[Answer] = []
    over = asyncio.Event()
    async with Clients(pair.ports, 8) as clients:

        async def go_on(number: int) -> None:
            address = f"{network()}::1"
            while not over.is_set():
                seen.append(await clients.connections[number].ask(path, address=address, **headers))

        tasks = [asyncio.create_task(go_on(number)) for number in range(8)]
        try:
            yield seen
        finally:
            over.set()
            await asyncio.gather(*tasks)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_without_redis_nothing_fails_or_waits_and_limits_hold_per_process(pair: Pair, fault: str) -> None:
    address, sentinel = f"{network()}::1", f"{network()}::1"
    who = {"Authorization": f"Bearer {await sync_to_async(_secret)()}"}
    for each in (address, sentinel):
        await sync_to_async(limit)("general", f"address:{each}", 10)

    async with Clients(pair.ports, 40) as clients:
        await _until(clients, 10, address=sentinel)
        try:
            async with _load(pair) as strangers, _load(pair, path="/api/shipments?limit=1", **who) as members:
                await asyncio.sleep(1)
                usual = max(each.seconds for each in strangers + members)
                before = len(strangers), len(members)
                break_redis(pair.redis, fault)
                await asyncio.sleep(1.5)
            seen = strangers[before[0] :] + members[before[1] :]
            passed = _passed(await clients.together("/api/nothing", address=address))
            refused = await asyncio.gather(*_guesses(clients))
        finally:
            mend_redis(pair.redis, fault)
    await together_again(pair)

    assert ({each.status for each in strangers}, {each.status for each in members}) == ({404}, {200})
    # One second is promised; a machine that is busy anyway makes everything late.
    assert max(each.seconds for each in seen) < 1 + 3 * usual
    # Each of the two counts for itself now.
    assert passed == 20
    # Guessing passwords is counted in PostgreSQL: no more chances than ever, over both together.
    assert sorted(each.status for each in refused) == [401] * 5 + [429] * 3


def _secret() -> str:
    owner = factories.member(factories.organization(), "admin")
    return api_keys.create(by=owner, now=timezone.now(), name="scanner", scopes=["shipments:read"])[1]


def _guesses(clients: Clients) -> list[Coroutine[Any, Any, Answer]]:
    body = orjson.dumps({"email": f"{uuid.uuid4()}@example.test", "password": "wrong"})
    return [each.ask("/api/auth/login", address=f"{network()}::1", body=body) for each in clients.connections[:8]]
