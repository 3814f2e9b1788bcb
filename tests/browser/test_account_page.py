"""Login, logout, and the error pages."""

import pytest
from playwright.async_api import expect

from tests.browser.pages import BrowserUser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_a_wrong_password_is_reported_and_the_address_kept(browser_user: BrowserUser) -> None:
    email = await browser_user.create_member("dispatcher")
    browser_user.network_may_fail = True  # Chromium logs a response of 401 as an error
    visit = await browser_user.open_page("/login")

    await visit.page.fill("#email", email)
    await visit.page.fill("#password", "not this one")
    await visit.page.click("button[type=submit]")

    await expect(visit.page.get_by_role("alert")).to_have_text(
        "This e-mail address and password do not go together."
    )
    await expect(visit.page.locator("#email")).to_have_value(email)
    await expect(visit.page.locator("#password")).to_have_value("")


@pytest.mark.parametrize(
    ("next_url", "location"),
    [
        ("/?status=lost", "/?status=lost"),
        ("//elsewhere.example/", "/"),
        ("https://elsewhere.example/", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
async def test_the_login_redirects_within_this_site_only(
    browser_user: BrowserUser, next_url: str, location: str
) -> None:
    visit = await browser_user.log_in(await browser_user.create_member("auditor"), f"/login?next={next_url}")

    await visit.expect_connection("Live")
    assert visit.page.url == browser_user.site.url + location


async def test_a_demo_account_fills_the_form(browser_user: BrowserUser) -> None:
    visit = await browser_user.open_page("/login")

    await visit.page.get_by_role("button", name="Auditor").click()

    await expect(visit.page.locator("#email")).to_have_value("auditor@demo.test")
    await expect(visit.page.locator("#password")).to_have_value("freight-demo")


async def test_logging_out_ends_the_session(browser_user: BrowserUser) -> None:
    visit = await browser_user.open_board()

    await visit.page.get_by_role("button", name="Log out").click()

    await expect(visit.page.get_by_role("heading", name="Log in")).to_be_visible()
    await visit.page.goto("/")
    assert visit.page.url == f"{browser_user.site.url}/login?next=/"


async def test_a_get_request_cannot_log_out(browser_user: BrowserUser) -> None:
    visit = await browser_user.open_board()

    answer = await visit.context.request.get("/logout")

    assert answer.status == 405


async def test_a_missing_page_has_our_error_page(browser_user: BrowserUser) -> None:
    browser_user.network_may_fail = True

    visit = await browser_user.open_page("/nothing-here")

    await expect(visit.page.get_by_role("heading", name="Nothing travels here")).to_be_visible()
