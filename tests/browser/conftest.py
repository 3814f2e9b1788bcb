"""A real Chromium and the real product, started once for all browser tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from playwright.async_api import Browser, async_playwright
from pytest_django import DjangoDbBlocker

from tests import factories
from tests.browser import chromium
from tests.browser.pages import BrowserUser, OpenPage
from tests.drills.harness.presets import page_stage
from tests.drills.harness.product_stage import ProductStage


@pytest.fixture(scope="package")
def site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[ProductStage]:
    """Start the product behind nginx."""
    stages = ExitStack()
    with django_db_blocker.unblock():
        stage = stages.enter_context(page_stage())
    with stages:
        yield stage


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Start one Chromium; every page has a context of its own."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.FLAGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser_user(site: ProductStage, browser: Browser, committed: None) -> AsyncIterator[BrowserUser]:
    """Return a dispatcher of an organisation of its own, who has a browser."""

    def create() -> BrowserUser:
        organization = factories.organization()
        return BrowserUser(site, browser, organization, factories.member(organization, "dispatcher"))

    user: BrowserUser = await sync_to_async(create)()
    yield user
    await user.close_pages()


@pytest_asyncio.fixture(loop_scope="session")
async def board(browser_user: BrowserUser) -> OpenPage:
    """Open the live board with one booked shipment that has a driver."""
    await browser_user.book_shipment("ONE-1")
    return await browser_user.open_board()
