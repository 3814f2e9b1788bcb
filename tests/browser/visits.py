"""What a visitor does, in the words of the tests."""

from typing import Any

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, expect

from shipments import services
from shipments.access import Subject
from shipments.models import Customer, Organization
from tests import factories
from tests.browser.site import Site

PASSWORD = "a-long-demo-password"
LIVE_MS = 8_000
# What Chromium says of a server or network that is away; the tests that take it away expect it.
NETWORK = ("Failed to load resource", "WebSocket connection to")


class Visit:
    """One page, and everything that its console complained about."""

    def __init__(self, page: Page, context: BrowserContext) -> None:
        self.page = page
        self.context = context
        self.complaints: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def row(self, reference: str) -> Any:
        return self.page.locator(f'#rows tr[data-reference="{reference}"]')

    async def shows(self, reference: str, status: str) -> None:
        """This will wait until the row's pill says the status."""
        await expect(self.row(reference).locator(".pill-label")).to_have_text(status, timeout=LIVE_MS)

    async def says(self, text: str, *, within_ms: int = 2 * LIVE_MS) -> None:
        """This will wait until the connection pill says it."""
        await expect(self.page.locator(".connection-label")).to_contain_text(text, timeout=within_ms)


class Visitor:
    """A dispatcher with a browser, and the hand that changes shipments behind the page's back."""

    def __init__(self, site: Site, browser: Browser, organization: Organization, by: Subject) -> None:
        self.site = site
        self.organization = organization
        self._browser = browser
        self._by = by
        self._visits: list[Visit] = []
        self.network_may_fail = False

    async def member(self, role: str, **links: Any) -> str:
        """This will store a member with a password and return its e-mail address."""
        make = sync_to_async(factories.user)
        return str((await make(self.organization, role, password=PASSWORD, **links)).email)

    async def customer(self, name: str) -> Customer:
        return await sync_to_async(factories.customer)(self.organization, name)

    async def books(self, reference: str, **fields: Any) -> None:
        def book() -> None:
            driver = factories.driver(self.organization)
            wanted = {"driver_id": driver.pk, "now": timezone.now()} | fields
            factories.booked(self._by, reference=reference, **wanted)

        await sync_to_async(book)()

    async def moves(self, reference: str, *states: str, note: str = "") -> None:
        """This will commit transitions in another process than the page's server."""
        for state in states:
            await sync_to_async(services.advance)(
                by=self._by, now=timezone.now(), reference=reference, to=state, note=note
            )

    async def moves_by_rest(self, reference: str, state: str) -> None:
        """This will ask the API for a transition, as another system does."""
        email = await self.member("dispatcher")
        async with httpx.AsyncClient(base_url=f"{self.site.url}/api", timeout=10) as http:
            login = await http.post("/auth/login", json={"email": email, "password": PASSWORD})
            answer = await http.post(
                f"/shipments/{reference}/transitions",
                json={"to": state},
                headers={"Authorization": f"Bearer {login.json()['access']}"},
            )
        assert answer.status_code == 200, answer.text

    async def visits(self, path: str, *, cookies: dict[str, str] | None = None, **options: Any) -> Visit:
        """This will open a page in a context of its own."""
        context = await self._browser.new_context(locale="en-GB", base_url=self.site.url, **options)
        await context.add_cookies(
            [{"name": name, "value": value, "url": self.site.url} for name, value in (cookies or {}).items()]
        )
        visit = Visit(await context.new_page(), context)
        self._visits.append(visit)
        await visit.page.goto(path)
        return visit

    async def logs_in(self, email: str, path: str = "/", **options: Any) -> Visit:
        """This will go where a login is needed, and log in."""
        visit = await self.visits(path, **options)
        await visit.page.fill("#email", email)
        await visit.page.fill("#password", PASSWORD)
        await visit.page.click("button[type=submit]")
        return visit

    async def opens_board(
        self, role: str = "dispatcher", *, viewport: ViewportSize | None = None, **links: Any
    ) -> Visit:
        """This will open the board as a fresh member, logged in already, and wait until it is live."""
        visit = await self.opens("/", role, viewport=viewport, **links)
        await visit.says("Live")
        return visit

    async def opens(
        self, path: str, role: str = "dispatcher", *, viewport: ViewportSize | None = None, **links: Any
    ) -> Visit:
        """This will open a page as a fresh member, logged in already."""
        cookie = await sync_to_async(self._session)(role, **links)
        return await self.visits(path, cookies={settings.SESSION_COOKIE_NAME: cookie}, viewport=viewport)

    def _session(self, role: str, **links: Any) -> str:
        """This will store a session of a fresh member, as a login does, and return its key."""
        user = factories.user(self.organization, role, **links)
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        return str(session.session_key)

    async def leave(self) -> None:
        """This will close every page; raises AssertionError where a console complained."""
        complaints = [line for visit in self._visits for line in visit.complaints]
        for visit in self._visits:
            await visit.context.close()
        if self.network_may_fail:
            complaints = [line for line in complaints if not line.startswith(NETWORK)]
        assert complaints == []
