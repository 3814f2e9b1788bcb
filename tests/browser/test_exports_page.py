"""The exports page: order, progress, download and cancel, by mouse and by keyboard, without a reload."""

from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connection
from playwright.async_api import expect

from exports.background import export_worker
from tests.browser.pages import BrowserUser, OpenPage

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser_user: BrowserUser) -> OpenPage:
    """Open the page for a dispatcher with one shipment and no exports."""
    await browser_user.book_shipment("ONE-1")
    return await open_page(browser_user)


async def open_page(browser_user: BrowserUser, **options: Any) -> OpenPage:
    visit = await browser_user.open_as_member("/exports", **options)
    await visit.expect_connection("Live")
    return visit


async def run_relay_batch() -> None:
    """Run the queued exports as the relay would."""

    def batch() -> None:
        export_worker.work_batch()
        connection.close()

    await sync_to_async(batch, thread_sensitive=False)()


async def test_an_export_becomes_ready_without_a_reload_and_can_be_downloaded(page: OpenPage) -> None:
    await expect(page.page.get_by_text("Nothing ordered yet")).to_be_visible()
    await page.page.get_by_role("button", name="Order export").click()
    pill = page.page.locator(".export .pill-label")
    await expect(pill).to_have_text("Queued")

    await run_relay_batch()

    await expect(pill).to_have_text("Ready", timeout=10_000)
    await expect(page.page.locator(".export-facts")).to_contain_text("1 rows, ")
    await expect(page.page.locator(".export-facts")).to_contain_text("kept until")
    await expect(page.page.locator("#announcer")).to_have_text("Shipments · CSV: Ready, 1 rows.")
    async with page.page.expect_download() as download:
        await page.page.get_by_role("link", name="Download Shipments · CSV").click()
    path = await (await download.value).path()
    lines = path.read_text().splitlines()
    assert (len(lines), lines[0].startswith("ID,Reference"), "ONE-1" in lines[1]) == (2, True, True)


async def test_the_keyboard_orders_a_filtered_export_and_cancels_it(page: OpenPage) -> None:
    press, dom = page.page.keyboard.press, page.page
    await dom.locator("input[name=report]").first.focus()
    await press("ArrowRight")
    await expect(dom.locator("input[name=report][value=events]")).to_be_checked()
    await press("Tab")
    await press("ArrowLeft")
    await expect(dom.locator("input[name=format][value=pdf]")).to_be_checked()
    await press("Tab")
    await press("Enter")
    await dom.locator(".of-report:not([hidden]) [data-filter=shipment]").focus()
    await dom.keyboard.type("<b>ONE-1</b>")
    await press("Enter")

    await expect(dom.locator(".export-name")).to_have_text("Events · PDF")
    await expect(dom.locator(".export-asked")).to_have_text("Shipment: <b>ONE-1</b>")
    await dom.get_by_role("button", name="Cancel Events · PDF").focus()
    await press("Enter")

    await expect(dom.locator(".export .pill-label")).to_have_text("Cancelled")
    await expect(dom.locator(".export-end")).to_be_hidden()


async def test_an_invalid_filter_is_reported_at_its_field(page: OpenPage, browser_user: BrowserUser) -> None:
    browser_user.network_may_fail = True  # Chromium logs a response of 400 as an error
    await page.page.locator("summary").first.click()
    field = page.page.locator(".of-report:not([hidden]) [data-filter=driverId]")
    await field.fill("nobody")

    await page.page.get_by_role("button", name="Order export").click()

    await expect(page.page.get_by_role("alert")).to_contain_text("Driver ID: ")
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(page.page.locator(".export")).to_have_count(0)


async def test_it_fits_a_phone_and_is_not_offered_without_the_permission(browser_user: BrowserUser) -> None:
    browser_user.network_may_fail = True  # Chromium logs a response of 403 as an error
    small = await open_page(browser_user, viewport={"width": 360, "height": 740})
    driver = await browser_user.open_board("driver")

    assert await small.page.evaluate("document.documentElement.scrollWidth") == 360
    await expect(driver.page.get_by_role("link", name="Exports")).to_have_count(0)
    answer = await driver.page.goto("/exports")
    assert answer is not None
    assert answer.status == 403
