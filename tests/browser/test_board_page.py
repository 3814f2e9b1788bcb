"""The live board shows every committed change without a reload, also after a lost connection."""

import re
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from playwright.async_api import expect

from monitoring import clock
from shipments.selectors import async_reads
from tests import factories
from tests.browser.pages import BrowserUser, OpenPage

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
]
# A Date as a PC with a wrong clock has it, by so many milliseconds.
_SKEWED_CLOCK = """(() => {
  const skew = %d, Real = Date;
  window.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() + skew); }
    static now() { return Real.now() + skew; }
  };
})()"""
MARKUP = "<img src=x onerror=\"document.title='taken'\"><b>bold</b>"


async def test_a_row_changes_without_a_reload_when_a_transition_is_committed(
    board: OpenPage, browser_user: BrowserUser
) -> None:
    await board.expect_status("ONE-1", "Booked")
    await board.page.evaluate("window.sameDocument = true")

    await browser_user.advance_by_rest("ONE-1", "dispatched")

    await board.expect_status("ONE-1", "Dispatched")
    await expect(board.row("ONE-1")).to_have_class(re.compile("flash"))
    await expect(board.page.locator("#ticker .what")).to_have_text(["Dispatched"])
    await expect(board.page.locator('[data-statuses^="dispatched"] .tile-count')).to_have_text("1")
    assert await board.page.evaluate("window.sameDocument") is True


async def test_a_new_status_is_announced_politely(board: OpenPage, browser_user: BrowserUser) -> None:
    await browser_user.advance("ONE-1", "dispatched")

    announcer = board.page.locator("#announcer")
    await expect(announcer).to_have_text("ONE-1: Dispatched.", timeout=12_000)
    await expect(announcer).to_have_attribute("aria-live", "polite")


async def test_after_a_crash_of_the_server_the_page_replays_the_missed_events(
    board: OpenPage, browser_user: BrowserUser
) -> None:
    browser_user.network_may_fail = True

    browser_user.site.api.kill()
    await board.expect_connection("Reconnecting")
    await browser_user.advance("ONE-1", "dispatched", "at_pickup", "in_transit")
    browser_user.site.api.launch()

    # The server's start, and up to 30 s until the client's next attempt.
    await board.expect_connection("Live", within_ms=60_000)
    await board.expect_status("ONE-1", "In transit")
    await expect(board.page.locator("#ticker .what")).to_have_text(["In transit", "At pickup", "Dispatched"])


async def test_the_board_starts_anew_when_the_database_was_restored(
    board: OpenPage, browser_user: BrowserUser
) -> None:
    await board.expect_status("ONE-1", "Booked")

    async with board.page.expect_response(re.compile(r"/board\.json")) as answered:
        await sync_to_async(factories.new_epoch)()
    await browser_user.advance("ONE-1", "dispatched")

    assert (await (await answered.value).json())["epoch"] == await async_reads.current_epoch()
    await board.expect_status("ONE-1", "Dispatched")
    await expect(board.page.locator("#rows tr")).to_have_count(1)


async def test_a_page_without_network_shows_it_and_replays_when_it_is_back(
    board: OpenPage, browser_user: BrowserUser
) -> None:
    browser_user.network_may_fail = True

    await board.context.set_offline(True)
    await board.expect_connection("Offline")
    await browser_user.advance("ONE-1", "dispatched", "in_transit")
    await board.context.set_offline(False)

    await board.expect_connection("Live")
    await board.expect_status("ONE-1", "In transit")


async def test_stored_markup_is_text_everywhere(browser_user: BrowserUser) -> None:
    customer = await browser_user.create_customer(MARKUP)
    await browser_user.book_shipment("ONE-2", customer_id=customer.pk, notes=MARKUP)
    board = await browser_user.open_board()

    await browser_user.advance("ONE-2", "dispatched", note=MARKUP)
    await board.row("ONE-2").click()

    await expect(board.row("ONE-2").locator(".cell-customer")).to_have_text(MARKUP)
    await expect(board.page.locator(".timeline .note")).to_have_text(MARKUP)
    await expect(board.page.locator(".facts dd").last).to_have_text(MARKUP)
    assert await board.page.locator("main img, main td b, aside img").count() == 0
    assert await board.page.title() == "Board · Freight"


async def test_the_keyboard_reaches_opens_and_closes_a_shipment(board: OpenPage, browser_user: BrowserUser) -> None:
    await browser_user.book_shipment("ONE-3")
    await board.page.reload()
    await board.expect_connection("Live")
    press = board.page.keyboard.press

    await board.page.locator("#q").focus()
    await press("Tab")
    await expect(board.row("ONE-3")).to_be_focused()
    await press("ArrowDown")
    await expect(board.row("ONE-1")).to_be_focused()
    await press("Enter")

    await expect(board.page.locator("#panel h2")).to_have_text("ONE-1")
    await expect(board.page.locator("#panel h2")).to_be_focused()
    await press("Escape")
    await expect(board.page.locator("#panel")).to_be_hidden()
    await expect(board.row("ONE-1")).to_be_focused()


async def test_the_first_tab_stop_is_the_skip_link(board: OpenPage) -> None:
    await board.page.keyboard.press("Tab")
    await expect(board.page.locator(".skip")).to_be_focused()

    await board.page.keyboard.press("Enter")

    await expect(board.page.locator("main")).to_be_focused()


async def test_the_open_panel_follows_the_log(board: OpenPage, browser_user: BrowserUser) -> None:
    await board.row("ONE-1").click()
    await expect(board.page.locator("#panel .pill-label")).to_have_text("Booked")
    await expect(board.page.locator(".timeline b")).to_have_text(["Created"])

    await browser_user.advance("ONE-1", "dispatched")

    await expect(board.page.locator("#panel .pill-label")).to_have_text("Dispatched")
    await expect(board.page.locator(".timeline b")).to_have_text(["Dispatched", "Created"])


async def test_stages_and_search_filter_the_rows_and_the_url(board: OpenPage, browser_user: BrowserUser) -> None:
    await browser_user.book_shipment("TWO-2")
    await browser_user.advance("TWO-2", "dispatched")

    await board.page.get_by_role("link", name="Pickup").click()
    await expect(board.page.locator("#rows .reference")).to_have_text(["TWO-2"])
    await board.page.get_by_role("link", name="All shipments").click()
    await board.page.fill("#q", "one")

    await expect(board.page.locator("#rows .reference")).to_have_text(["ONE-1"])
    assert board.page.url == f"{browser_user.site.url}/?q=one"


async def test_a_customer_sees_its_own_freight_without_phone_and_notes(browser_user: BrowserUser) -> None:
    customer = await browser_user.create_customer("Northwind")
    await browser_user.book_shipment("MINE-1", customer_id=customer.pk, notes="internal")
    await browser_user.book_shipment("THEIRS-1")

    board = await browser_user.open_board("customer", customer=customer)

    await expect(board.page.locator("#rows .reference")).to_have_text(["MINE-1"])
    document = await board.page.locator("#board-document").text_content()
    assert document is not None
    assert [word for word in ("internal", "phone", "THEIRS") if word in document] == []


@pytest.mark.parametrize("width", [360, 768, 900, 1024, 1100, 1280, 1440, 1600])
async def test_the_board_fits_the_window(browser_user: BrowserUser, width: int) -> None:
    customer = await browser_user.create_customer("Donaudampfschifffahrtsgesellschaft und Söhne")
    reference, next_century = "R" * 64, factories.NOW.replace(year=2099)
    await browser_user.book_shipment(reference, customer_id=customer.pk, planned_delivery_at=next_century)
    await browser_user.advance(reference, "dispatched", "at_pickup", "in_transit", "out_for_delivery")
    await browser_user.advance(reference, "available_for_pickup")

    board = await browser_user.open_board(viewport={"width": width, "height": 800})

    assert await board.page.evaluate("document.documentElement.scrollWidth") == width
    table, card = [
        await board.page.locator(selector).evaluate("box => box.getBoundingClientRect().width")
        for selector in ("table", ".list")
    ]
    assert table <= card
    countries = board.page.locator("#rows .country")
    assert await countries.evaluate_all("all => all.map((each) => each.getClientRects().length)") == [1, 1]


@pytest.mark.parametrize("skew_seconds", [-600, 600])
async def test_the_board_takes_its_times_from_the_server(browser_user: BrowserUser, skew_seconds: int) -> None:
    """A PC whose clock is ten minutes off shows new shipments, and when they really changed."""
    board = await browser_user.open_board()
    await board.context.add_init_script(_SKEWED_CLOCK % (skew_seconds * 1000))
    await board.page.reload()
    await board.expect_connection("Live")

    await browser_user.book_shipment("NEW-1")
    await browser_user.book_shipment("LATE-1", planned_delivery_at=clock.now() - timedelta(minutes=3))

    await expect(board.row("NEW-1")).to_be_visible(timeout=40_000)  # it is polled every 15 s
    await expect(board.row("NEW-1").locator(".updated")).to_have_text(re.compile(r"just now|\d+ sec\. ago"))
    await expect(board.row("LATE-1").locator(".eta .relative")).to_have_text("3 min. ago")
    await expect(board.row("LATE-1").locator(".eta .relative")).to_have_class(re.compile("overdue"))


async def test_the_board_tells_that_it_is_stale_and_shows_the_filter_afterwards(
    board: OpenPage, browser_user: BrowserUser
) -> None:
    browser_user.network_may_fail = True
    await browser_user.book_shipment("TWO-2")
    await board.page.reload()
    await board.expect_connection("Live")
    stale = board.page.locator("#stale")
    await expect(stale).to_be_hidden()

    await board.page.route("**/board.json?*", lambda route: route.fulfill(status=503))
    await board.page.fill("#q", "one")

    unfiltered = r"The list does not show what you have chosen yet, and is as of \d\d:\d\d:\d\d"
    await expect(stale).to_have_text(re.compile(rf"{unfiltered}: the server answers 503\."))
    await expect(board.page.locator("#rows tr")).to_have_count(2)

    await board.page.unroute("**/board.json?*")

    await expect(stale).to_be_hidden(timeout=40_000)  # the next poll
    await expect(board.page.locator("#rows .reference")).to_have_text(["ONE-1"])


async def test_the_board_tells_since_when_its_polls_fail(board: OpenPage, browser_user: BrowserUser) -> None:
    browser_user.network_may_fail = True

    await board.page.route("**/board.json?*", lambda route: route.abort())

    await expect(board.page.locator("#stale")).to_have_text(
        re.compile(r"New shipments, positions and counts are as of .*: the server does not answer\."),
        timeout=40_000,
    )


async def test_shipments_in_motion_are_on_the_map(board: OpenPage, browser_user: BrowserUser) -> None:
    await browser_user.book_shipment("ONE-5", planned_delivery_at=factories.NOW.replace(year=2099))
    await browser_user.advance("ONE-5", "dispatched")
    await board.page.reload()
    await board.expect_connection("Live")
    await expect(board.page.locator(".map-dot")).to_have_count(0)

    await browser_user.advance("ONE-5", "in_transit")

    dot = board.page.locator('.map-dot[data-reference="ONE-5"]')
    await expect(dot).to_have_class(re.compile("estimated"))
    await dot.hover()
    await expect(board.page.locator(".map-tip b")).to_have_text("ONE-5 · In transit")
    await expect(board.page.locator(".map-land")).to_have_count(1)
