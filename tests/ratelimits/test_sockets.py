"""The limits of sockets over two real Daphnes: exact under bursts, changed under load, and without Redis."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from realtime.protocol import CloseCode
from shipments.models import User
from shipments.services import api_keys
from tests import factories
from tests.ratelimits.bursts import Sat, sit
from tests.ratelimits.pair import SOON, Pair, admin_of, break_redis, limit, mend_redis, network, together_again

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]

AT_ONCE = 40
# BURST_LIMITS=100 is the long form; each costs forty handshakes.
LIMITS = int(os.environ.get("BURST_LIMITS", "25"))
# Of a handshake with a wrong token: it was counted and let through, or it was one too many.
LET_THROUGH, REFUSED = CloseCode.UNAUTHENTICATED, CloseCode.TOO_MANY_MESSAGES
WRONG = "wrong"
PING = b'{"type":"ping","t":1}'


async def _together(pair: Pair, address: str, token: str = WRONG, times: int = AT_ONCE) -> list[Sat]:
    """This will open so many sockets at once, half of them at each Daphne."""
    return await asyncio.gather(
        *(sit(pair.ports[number % 2], address=address, token=token) for number in range(times))
    )


def _codes(sat: Sequence[Sat]) -> Counter[int]:
    return Counter(each.code for each in sat)


async def _holds_everywhere(pair: Pair, limited: Callable[[str], object]) -> None:
    """This will wait until both Daphnes know of a limit that `limited` has just set for an address."""
    address = f"{network()}::1"
    await sync_to_async(limited)(address)
    began = time.monotonic()
    for port in pair.ports:
        while (await sit(port, address=address, token=WRONG)).code != REFUSED:
            assert time.monotonic() - began < SOON
            await asyncio.sleep(0.05)


async def test_of_forty_handshakes_at_once_exactly_the_limit_passes_whatever_the_limit(pair: Pair) -> None:
    chance = random.Random(6)
    limits = {f"{network()}::1": chance.randint(1, AT_ONCE - 1) for _ in range(LIMITS)}
    for address, most in limits.items():
        await sync_to_async(limit)("ws_connect", f"address:{address}", most)
    await _holds_everywhere(pair, lambda address: limit("ws_connect", f"address:{address}", 1))

    seen = {address: _codes(await _together(pair, address)) for address in limits}

    assert seen == {
        address: Counter({LET_THROUGH: most, REFUSED: AT_ONCE - most}) for address, most in limits.items()
    }


def _keys(number: int, *, name: str = "scanner", is_staff: bool = False) -> list[tuple[str, str]]:
    """This will return how the limiter counts keys of a fresh member, and their secrets."""
    owner = factories.member(factories.organization(), "admin")
    if is_staff:
        User.objects.filter(pk=owner.user_id).update(is_staff=True)
    made = [
        api_keys.create(by=owner, now=timezone.now(), name=name, scopes=["shipments:read"]) for _ in range(number)
    ]
    return [(f"key:{key.pk}", secret) for key, secret in made]


async def test_of_all_that_a_socket_says_at_once_exactly_its_burst_is_served(
    pair: Pair,
) -> None:
    chance = random.Random(7)
    keys = [key for _ in range(LIMITS // 5) for key in await sync_to_async(_keys)(5)]
    limits = {key: chance.randint(1, (AT_ONCE - 1) // 4) for key, _ in keys}
    for key, most in limits.items():
        await sync_to_async(limit)("ws_message", key, most)
    await _holds_everywhere(pair, lambda address: limit("ws_connect", f"address:{address}", 1))

    sat = await asyncio.gather(
        *(
            sit(
                pair.ports[number % 2],
                address="192.0.2.1",
                token=secret,
                said=[PING] * AT_ONCE,
                ends_after=1 + AT_ONCE,
            )
            for number, (_, secret) in enumerate(keys)
        )
    )

    # A burst is twice the limit, as many again are refused, and the next one ends the socket.
    served = {
        key: sum(b'"pong"' in frame for frame in each.frames) for (key, _), each in zip(keys, sat, strict=True)
    }
    refused = [sum(b'"rate_limited"' in frame for frame in each.frames) for each in sat]
    assert served == {key: 2 * most for key, most in limits.items()}
    assert refused == [2 * most for most in limits.values()]
    assert _codes(sat) == {REFUSED: len(keys)}


async def test_a_service_on_the_whitelist_is_never_too_many(pair: Pair) -> None:
    ((key, secret),) = await sync_to_async(_keys)(1, name="batch-processor", is_staff=True)
    ((other, stranger),) = await sync_to_async(_keys)(1, name="batch-processor")
    for each in (key, other):
        await sync_to_async(limit)("ws_connect", each, 1)
    await _holds_everywhere(pair, lambda address: limit("ws_connect", f"address:{address}", 1))

    listed = await _together(pair, "192.0.2.2", secret, times=10)
    unlisted = await _together(pair, "192.0.2.2", stranger, times=10)

    assert (_codes(listed), {b'"welcome"' in each.frames[0] for each in listed}) == ({0: 10}, {True})
    assert _codes(unlisted) == {0: 1, REFUSED: 9}


@asynccontextmanager
async def _load(pair: Pair) -> AsyncIterator[list[Sat]]:
    """Eight clients that open one socket after the other while the block runs; how they ended is yielded."""
    seen: list[Sat] = []
    over = asyncio.Event()

    async def go_on(number: int) -> None:
        while not over.is_set():
            seen.append(await sit(pair.ports[number % 2], address=f"{network()}::1", token=WRONG))

    tasks = [asyncio.create_task(go_on(number)) for number in range(8)]
    try:
        yield seen
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def test_a_limit_of_handshakes_changed_in_the_admin_holds_everywhere_under_load(pair: Pair) -> None:
    admin = await sync_to_async(admin_of)(pair.daphnes[0])

    async def passing() -> list[int]:
        """This will return how many of three handshakes at each Daphne pass now, of an address each."""
        sat = [[await sit(port, address=address, token=WRONG) for _ in range(3)] for port, address in places()]
        return [_codes(each)[LET_THROUGH] for each in sat]

    def places() -> list[tuple[int, str]]:
        return [(port, f"{network()}::1") for port in pair.ports]

    async with _load(pair) as seen:
        await asyncio.to_thread(admin, "add/", policy="ws_connect", most=2, window=7 * 86400)
        lowered = await _within(SOON, passing, [2, 2])
        await asyncio.to_thread(admin, "ws_connect/delete/", post="yes")
        back = await _within(SOON, passing, [3, 3])

    assert (lowered, back) == (True, True)
    assert _codes(seen).keys() == {LET_THROUGH}


async def _within(seconds: float, ask: Callable[[], Any], wanted: object) -> bool:
    began = time.monotonic()
    while await ask() != wanted:
        if time.monotonic() - began > seconds:
            return False
    return True


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_without_redis_no_handshake_fails_or_waits_and_limits_hold_per_process(
    pair: Pair, fault: str
) -> None:
    address = f"{network()}::1"
    await sync_to_async(limit)("ws_connect", f"address:{address}", 10)
    await _holds_everywhere(pair, lambda each: limit("ws_connect", f"address:{each}", 1))

    async with _load(pair) as seen:
        await asyncio.sleep(1)
        usual, before = max(each.seconds for each in seen), len(seen)
        break_redis(pair.redis, fault)
        try:
            await asyncio.sleep(1.5)
            sat = await _together(pair, address)
        finally:
            mend_redis(pair.redis, fault)
    await together_again(pair)

    assert _codes(seen).keys() == {LET_THROUGH}
    # One second is promised; a machine that is busy anyway makes everything late.
    assert max(each.seconds for each in seen[before:] + sat) < 1 + 3 * usual
    # Each of the two counts for itself now.
    assert _codes(sat) == {LET_THROUGH: 20, REFUSED: 20}
