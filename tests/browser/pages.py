"""Users with a browser, and the pages that they open."""

from typing import Any

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, expect

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import Customer, Organization
from tests import factories
from tests.drills.harness.product_stage import ProductStage

LIVE_TIMEOUT_MS = 8_000
# How Chromium reports a server or network that is away; tests that take it away expect these lines.
NETWORK_ERROR_PREFIXES = ("Failed to load resource", "WebSocket connection to")


class OpenPage:
    """One page, and the errors and warnings of its console."""

    def __init__(self, page: Page, context: BrowserContext) -> None:
        self.page = page
        self.context = context
        self.console_errors: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.console_errors.append(message.text)

    def row(self, reference: str) -> Any:
        return self.page.locator(f'#rows tr[data-reference="{reference}"]')

    async def expect_status(self, reference: str, status: str) -> None:
        """Wait until the row's pill says the status."""
        await expect(self.row(reference).locator(".pill-label")).to_have_text(status, timeout=LIVE_TIMEOUT_MS)

    async def expect_connection(self, text: str, *, within_ms: int = 2 * LIVE_TIMEOUT_MS) -> None:
        """Wait until the connection pill says it."""
        await expect(self.page.locator(".connection-label")).to_contain_text(text, timeout=within_ms)


class BrowserUser:
    """A dispatcher with a browser, who also changes shipments past the page."""

    def __init__(self, site: ProductStage, browser: Browser, organization: Organization, by: Subject) -> None:
        self.site = site
        self.organization = organization
        self._browser = browser
        self._by = by
        self._pages: list[OpenPage] = []
        self.network_may_fail = False

    async def create_member(self, role: str, **links: Any) -> str:
        """Store a member with a password and return its e-mail address."""
        make = sync_to_async(factories.user)
        return str((await make(self.organization, role, password=factories.PASSWORD, **links)).email)

    async def create_customer(self, name: str) -> Customer:
        return await sync_to_async(factories.customer)(self.organization, name)

    async def book_shipment(self, reference: str, **fields: Any) -> None:
        def book_with_driver() -> None:
            driver = factories.driver(self.organization)
            values: dict[str, Any] = {"driver_id": driver.pk, "now": timezone.now()} | fields
            factories.booked_shipment(self._by, reference=reference, **values)

        await sync_to_async(book_with_driver)()

    async def advance(self, reference: str, *states: str, note: str = "") -> None:
        """Commit transitions in another process than the page's server."""
        for state in states:
            await sync_to_async(services.advance)(
                by=self._by, now=timezone.now(), reference=reference, to=state, note=note
            )

    async def advance_by_rest(self, reference: str, state: str) -> None:
        """Request a transition by REST, as another system does."""
        email = await self.create_member("dispatcher")
        async with httpx.AsyncClient(base_url=f"{self.site.url}/api", timeout=10) as http:
            login = await http.post("/auth/login", json={"email": email, "password": factories.PASSWORD})
            response = await http.post(
                f"/shipments/{reference}/transitions",
                json={"to": state},
                headers={"Authorization": f"Bearer {login.json()['access']}"},
            )
        assert response.status_code == 200, response.text

    async def open_page(self, path: str, *, cookies: dict[str, str] | None = None, **options: Any) -> OpenPage:
        """Open a page in a context of its own."""
        context = await self._browser.new_context(locale="en-GB", base_url=self.site.url, **options)
        await context.add_cookies(
            [{"name": name, "value": value, "url": self.site.url} for name, value in (cookies or {}).items()]
        )
        opened = OpenPage(await context.new_page(), context)
        self._pages.append(opened)
        await opened.page.goto(path)
        return opened

    async def log_in(self, email: str, path: str = "/", **options: Any) -> OpenPage:
        """Open a page that needs a login, and log in."""
        visit = await self.open_page(path, **options)
        await visit.page.fill("#email", email)
        await visit.page.fill("#password", factories.PASSWORD)
        await visit.page.click("button[type=submit]")
        return visit

    async def open_board(
        self, role: str = "dispatcher", *, viewport: ViewportSize | None = None, **links: Any
    ) -> OpenPage:
        """Open the board as a fresh member, logged in already, and wait until it is live."""
        visit = await self.open_as_member("/", role, viewport=viewport, **links)
        await visit.expect_connection("Live")
        return visit

    async def open_as_member(
        self, path: str, role: str = "dispatcher", *, viewport: ViewportSize | None = None, **links: Any
    ) -> OpenPage:
        """Open a page as a fresh member, logged in already."""
        cookie = await sync_to_async(self._create_session)(role, **links)
        return await self.open_page(path, cookies={settings.SESSION_COOKIE_NAME: cookie}, viewport=viewport)

    def _create_session(self, role: str, **links: Any) -> str:
        """Store a session of a fresh member, as a login does, and return its key."""
        user = factories.user(self.organization, role, **links)
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        return str(session.session_key)

    async def close_pages(self) -> None:
        """Close every page; raises AssertionError where a console has an error or a warning."""
        complaints = [line for visit in self._pages for line in visit.console_errors]
        for visit in self._pages:
            await visit.context.close()
        if self.network_may_fail:
            complaints = [line for line in complaints if not line.startswith(NETWORK_ERROR_PREFIXES)]
        assert complaints == []
