"""The imports page: dry run, review, import and progress, by mouse and by keyboard."""

import os
import uuid
from pathlib import Path
from typing import Any, Literal

import pytest
from asgiref.sync import sync_to_async
from playwright.async_api import FilePayload, expect

from exports.file_imports import import_worker
from shipments.models import Shipment
from tests.browser.pages import BrowserUser, OpenPage
from tests.exports.import_client import ROUTE, csv_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
]
MARKUP = "<img src=x onerror=\"document.title='taken'\">"


async def upload(visit: OpenPage, name: str, raw: bytes) -> None:
    await visit.page.set_input_files("#file", files=[FilePayload(name=name, mimeType="text/csv", buffer=raw)])


async def expect_counts(visit: OpenPage, **expected: int) -> None:
    for outcome, count in expected.items():
        await expect(visit.page.locator(f"[data-outcome={outcome}] b")).to_have_text(f"{count:,}")


async def take_screenshot(visit: OpenPage, name: str) -> None:
    """Take screenshots into the folder FREIGHT_PICTURES, if it is set."""
    if folder := os.environ.get("FREIGHT_PICTURES"):
        await visit.page.evaluate("scrollTo(0, 0)")
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            await visit.page.emulate_media(color_scheme=scheme)
            await visit.page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)


async def test_a_file_is_dry_run_reviewed_and_imported(browser_user: BrowserUser) -> None:
    prefix = uuid.uuid4().hex[:8].upper()
    rows: list[dict[str, Any]] = [{"Reference": f"{prefix}-{at}", **ROUTE, "Pieces": str(at)} for at in range(230)]
    rows[3] |= {"Pieces": "many", "ETA": "02/03/2026", "Notes": MARKUP}
    rows[4] |= {"Origin": "Rotterdam", "Reference": MARKUP}
    rows[5] |= {"Reference": "ONE-1", "Status": "draft"}
    await browser_user.book_shipment("ONE-1")
    visit = await browser_user.open_as_member("/imports")
    page = visit.page
    await visit.expect_connection("Live")
    await take_screenshot(visit, "imports-empty")

    await upload(visit, f"week {MARKUP}.csv", csv_of(rows))

    await expect_counts(visit, created=227, updated=1, unchanged=0, failed=2, warned=1)
    await expect(page.locator("#work-heading")).to_have_text(f"week {MARKUP}.csv")
    await expect(page.locator("#rows tbody tr")).to_have_count(2)
    await expect(page.locator("#rows tbody tr").first).to_contain_text("Pieces Give a whole number")
    await expect(page.locator("#rows tbody tr").nth(1)).to_contain_text("Origin Give a UN/LOCODE")
    assert not await sync_to_async(Shipment.objects.filter(reference=f"{prefix}-1").exists)()
    await page.locator("[data-outcome=updated]").press("Enter")
    await expect(page.locator("#rows tbody tr")).to_contain_text(["Changes Pieces"])
    await page.locator("[data-outcome=warned]").click()
    await expect(page.locator("#rows tbody tr .warning-line")).to_contain_text(["Status The shipment is booked"])
    await page.locator("[data-outcome=created]").click()
    await expect(page.locator("#rows tbody tr")).to_have_count(100)
    await page.locator("#more").press("Enter")
    await expect(page.locator("#rows tbody tr")).to_have_count(200)
    await page.locator("[data-outcome=failed]").click()
    await expect(page.locator("#rows tbody tr")).to_have_count(2)
    await take_screenshot(visit, "imports-tried")

    apply = page.locator("#apply")
    await expect(apply).to_have_text("Import 228 rows")
    await apply.press("Enter")
    await expect(page.locator("#work-state")).to_have_text("Queued")
    await take_screenshot(visit, "imports-queued")
    await sync_to_async(import_worker.work_batch)()

    await expect(page.locator("#work-state")).to_have_text("Succeeded", timeout=15_000)
    await expect_counts(visit, created=227, updated=1, unchanged=0, failed=2)
    await expect(page.locator("#announcer")).to_have_text(
        "Import succeeded: 227 new, 1 changed, 0 unchanged, 2 with errors, 1 with warnings."
    )
    await expect(page.locator("#past tbody tr .state")).to_have_text(["Succeeded"])
    await expect(page.locator("#rows tbody tr")).to_have_count(2)
    assert await sync_to_async(Shipment.objects.filter(reference=f"{prefix}-1").exists)()
    assert await page.title() == "Imports · Freight"
    await take_screenshot(visit, "imports-done")


async def test_an_invalid_file_is_refused_with_the_reasons(browser_user: BrowserUser) -> None:
    browser_user.network_may_fail = True  # Chromium logs a response of 400 as an error
    visit = await browser_user.open_as_member("/imports", viewport={"width": 390, "height": 844})

    await upload(visit, "odd.csv", b"Reference,Weight,Colour\nA-1,1,red\n")

    alert = visit.page.locator("#refusal")
    await expect(alert.locator("li")).to_contain_text(["Weight: There is no such column", "Colour: There is no"])
    await expect(visit.page.locator("#apply")).to_be_hidden()
    await take_screenshot(visit, "imports-refused-phone")
    await upload(visit, "good.csv", csv_of([{"Reference": "A-1", **ROUTE}, {"Reference": "A-2", "Origin": "x"}]))
    await expect_counts(visit, created=1, failed=1)
    await expect(alert).to_be_hidden()
    await take_screenshot(visit, "imports-tried-phone")


async def test_a_running_import_is_shown_after_a_reload_and_can_be_cancelled(browser_user: BrowserUser) -> None:
    visit = await browser_user.open_as_member("/imports")
    await upload(visit, "long.csv", csv_of([{"Reference": "A-1", **ROUTE}]))
    await visit.page.locator("#apply").click()
    await expect(visit.page.locator("#work-state")).to_have_text("Queued")

    await visit.page.reload()
    await expect(visit.page.locator("#work-heading")).to_have_text("long.csv")
    await visit.page.locator("#cancel").click()

    await expect(visit.page.locator("#work-state")).to_have_text("Cancelled")
    await expect(visit.page.locator("#past tbody tr .state")).to_have_text(["Cancelled"])


@pytest.mark.parametrize("role", ["auditor", "customer"])
async def test_roles_without_the_permission_cannot_open_the_page(browser_user: BrowserUser, role: str) -> None:
    browser_user.network_may_fail = True
    board = await browser_user.open_board(role)
    page = await browser_user.open_as_member("/imports", role)

    await expect(board.page.locator(".places a", has_text="Imports")).to_have_count(0)
    await expect(page.page.locator("h1")).not_to_have_text("Import shipments")


async def test_the_template_is_a_file_that_can_be_imported(browser_user: BrowserUser) -> None:
    visit = await browser_user.open_as_member("/imports")
    async with visit.page.expect_download() as waiting:
        await visit.page.get_by_role("link", name="Template").click()
    template = await (await waiting.value).path()

    await upload(visit, "template.csv", template.read_bytes())

    await expect_counts(visit, created=1, failed=0)
