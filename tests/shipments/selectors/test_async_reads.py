"""Reads for many rooms are one query with one SQL text, whatever their number and viewer."""

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import Shipment
from shipments.selectors import async_pool, async_reads
from tests import factories

pytestmark = pytest.mark.usefixtures("committed")


@pytest_asyncio.fixture
async def queries(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Record the SQL of the queries."""
    statements: list[str] = []
    fetch = async_pool.fetch

    async def recorded_fetch(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        statements.append(sql)
        return await fetch(sql, params)

    monkeypatch.setattr(async_pool, "fetch", recorded_fetch)
    yield statements
    await async_pool.close_pools()


@sync_to_async
def booked_shipments() -> tuple[Subject, Subject, list[Shipment]]:
    """Return a dispatcher, the driver of the first shipment, and three shipments, of which the last is a draft."""
    by = factories.member(organization := factories.organization(), "dispatcher")
    drives = factories.driver(organization)
    booked = [
        factories.booked_shipment(by, driver_id=drives.pk),
        factories.booked_shipment(by),
        factories.booked_shipment(by, status="draft"),
    ]
    return by, factories.member(organization, "driver", driver=drives), booked


async def test_each_viewer_finds_what_it_may_see_in_any_case(queries: list[str]) -> None:
    dispatcher, driver, shipments = await booked_shipments()
    references = [shipment.reference for shipment in shipments]
    matches = {each.reference.upper(): (each.pk, each.reference) for each in shipments}

    assert await async_reads.fetch_visible_references(dispatcher, [references[0].lower()]) == dict(
        list(matches.items())[:1]
    )
    assert await async_reads.fetch_visible_references(dispatcher, [*references, "NONE-SUCH"]) == matches
    assert len(set(queries)) == 1
    assert await async_reads.fetch_visible_references(driver, references) == dict(list(matches.items())[:1])
    assert (
        await async_reads.fetch_visible_references(replace(dispatcher, organization_id=uuid.uuid4()), references)
        == {}
    )


async def test_a_viewer_who_sees_nothing_and_an_empty_request_cost_no_query(queries: list[str]) -> None:
    dispatcher, _, shipments = await booked_shipments()

    assert (
        await async_reads.fetch_visible_references(replace(dispatcher, role="device"), [shipments[0].reference])
        == {}
    )
    assert await async_reads.fetch_visible_references(dispatcher, []) == {}
    assert await async_reads.fetch_snapshots([]) == ("", {})
    assert queries == []


async def test_snapshots_are_one_query_and_missing_shipments_are_left_out(queries: list[str]) -> None:
    by, _, shipments = await booked_shipments()
    await sync_to_async(services.discard)(by=by, now=factories.NOW, reference=shipments[2].reference)

    epoch, one = await async_reads.fetch_snapshots([shipments[0].pk])
    _, all_of_them = await async_reads.fetch_snapshots([*(shipment.pk for shipment in shipments), uuid.uuid4()])

    assert set(one) == {shipments[0].pk}
    assert {shown["reference"] for shown in all_of_them.values()} == {each.reference for each in shipments[:2]}
    assert one[shipments[0].pk] == all_of_them[shipments[0].pk]
    assert len(set(queries)) == 1
    assert epoch == await async_reads.current_epoch()
