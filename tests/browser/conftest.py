"""A real Chromium before the real product, started once for all browser tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from playwright.async_api import Browser, async_playwright
from pytest_django import DjangoDbBlocker

from tests import factories
from tests.browser import chromium
from tests.browser.pages import BrowserUser, OpenPage
from tests.browser.site import Site


@pytest.fixture(scope="session")
def site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """The running product."""
    with django_db_blocker.unblock():
        product = Site()
    try:
        product.start()
        yield product
    finally:
        product.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium; every visit has a context of its own."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.FLAGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(site: Site, browser: Browser, committed: None) -> AsyncIterator[BrowserUser]:
    """A dispatcher of an organisation of its own, with a browser in hand."""

    def make() -> BrowserUser:
        organization = factories.organization()
        return BrowserUser(site, browser, organization, factories.member(organization, "dispatcher"))

    browser_user: BrowserUser = await sync_to_async(make)()
    yield browser_user
    await browser_user.close_pages()


@pytest_asyncio.fixture(loop_scope="session")
async def board(visitor: BrowserUser) -> OpenPage:
    """The live board with one booked shipment that has a driver."""
    await visitor.book_shipment("ONE-1")
    return await visitor.open_board()
