"""Long polls end at a hint, and where events come all the time no sooner than without hints."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from shipments import services
from shipments.api.http import long_poll
from shipments.selectors import async_pool, async_reads
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("committed")
# Longer than a test: polls without a hint do not come.
NEVER = (600.0, 600.0)


class Log:
    """A shipment, and the hints about it."""

    def __init__(self) -> None:
        self.by = factories.member(factories.organization(), "dispatcher")
        self.shipment = factories.booked_shipment(self.by)
        self.epoch = ""
        self.on_grown: Any = None

    async def wait(self, after: int, seconds: float = 10) -> tuple[str, int] | None:
        return await long_poll.wait_for_head(self.shipment.pk, epoch=self.epoch, after=after, seconds=seconds)

    async def amend(self, pieces: int) -> None:
        await sync_to_async(services.amend)(
            by=self.by, now=NOW, reference=self.shipment.reference, changes={"pieces": pieces}
        )


@pytest_asyncio.fixture
async def log(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Log]:
    log = await sync_to_async(Log)()
    log.epoch = await async_reads.current_epoch()
    monkeypatch.setattr(long_poll, "_commit_hints", [lambda on_grown: setattr(log, "on_grown", on_grown)])
    monkeypatch.setattr(long_poll, "_INTERVAL_SECONDS", NEVER)
    yield log
    await async_pool.close_pools()


async def test_a_hint_ends_a_wait_that_is_old_enough(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "_MIN_WAIT_SECONDS", 0.0)
    waiting = asyncio.create_task(log.wait(1))
    await asyncio.sleep(0)
    await log.amend(2)

    log.on_grown({uuid.uuid4(), log.shipment.pk})

    assert await waiting == (log.epoch, 2)


async def test_a_hint_does_not_end_a_wait_that_has_just_begun(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "_MIN_WAIT_SECONDS", 600.0)
    waiting = asyncio.create_task(log.wait(1, seconds=1))
    await asyncio.sleep(0)
    await log.amend(2)

    log.on_grown({log.shipment.pk})

    assert await waiting is None


async def test_without_a_hint_it_ends_at_the_next_poll(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "_INTERVAL_SECONDS", (0.4, 0.6))
    waiting = asyncio.create_task(log.wait(1))
    await asyncio.sleep(0)
    began = time.monotonic()
    await log.amend(2)

    assert await waiting == (log.epoch, 2)
    assert time.monotonic() - began < 5


async def test_many_hints_about_others_starve_no_wait(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "_INTERVAL_SECONDS", (0.4, 0.6))
    monkeypatch.setattr(long_poll, "_MIN_WAIT_SECONDS", 0.0)
    busy = await sync_to_async(Log)()
    busy.epoch = log.epoch
    waiting = [asyncio.create_task(log.wait(1)), asyncio.create_task(busy.wait(10**9, seconds=10))]
    await asyncio.sleep(0)
    await log.amend(2)

    while not waiting[0].done():
        log.on_grown({busy.shipment.pk})
        await asyncio.sleep(0.005)

    assert await waiting[0] == (log.epoch, 2)
    waiting[1].cancel()
