"""`make screenshots`: screenshots of the running product for the documentation, by a real browser.

    python -m tests.browser.screenshots [--url http://127.0.0.1:4000] [--into docs/images]

The product must run with the demo data and the simulator: `make run`.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.browser import chromium

ROOT: Final = Path(__file__).resolve().parents[2]
EMAIL: Final = "dispatcher@demo.test"
PASSWORD: Final = "freight-demo"
SETTLE_MS: Final = 5_000  # so that the simulator has something to show
_EXPORTS: Final = (("deliveries", "pdf"), ("events", "csv"), ("shipments", "xlsx"))
IMPORTED: Final = """Reference,Origin,Destination,Status,Pieces,Weight kg,Planned Delivery At,Notes
SPRING-0001,NLRTM,DEHAM,draft,12,830.5,2027-03-02T09:00:00Z,Dock 4
SPRING-0002,NLRTM,Hamburg,draft,8,412,2027-03-02T09:00:00Z,
SPRING-0003,SGSIN,NLRTM,booked,40,9600,02/03/2027,
SPRING-0004,SGSIN,BRSSZ,draft,several,1200,2027-03-09T09:00:00Z,Fragile
SHIP-000007,,,,16,,,Two pieces more
"""


def main() -> None:
    """Write every screenshot as a PNG and print its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=f"http://127.0.0.1:{os.environ.get('PORT', '4000')}")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.FLAGS)
        try:
            take_all(browser, options.url, options.into)
        except Error as error:
            if "ERR_CONNECTION_REFUSED" in str(error):
                sys.exit(f"Nothing answers at {options.url}. Start the product first: make run")
            raise
        finally:
            browser.close()


def take_all(browser: Browser, url: str, into: Path) -> None:
    """Log in once and take every screenshot."""
    context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
    target_page = context.new_page()
    target_page.goto("/login")
    target_page.screenshot(path=into / "login.png")
    target_page.fill("#email", EMAIL)
    target_page.fill("#password", PASSWORD)
    target_page.click("button[type=submit]")
    target_page.wait_for_url(f"{url}/")
    session = context.storage_state()
    for name, scheme, width, height, path, prepare in PICTURES:
        fresh = browser.new_context(
            base_url=url,
            storage_state=session,
            color_scheme=scheme,
            locale="en-GB",
            viewport={"width": width, "height": height},
            device_scale_factor=1 if width > 1000 else 2,
        )
        target_page = fresh.new_page()
        target_page.goto(path)
        prepare(target_page)
        target_page.screenshot(path=into / f"{name}.png")
        print(into / f"{name}.png")
        fresh.close()


def show_board(page: Page) -> None:
    """Wait until the board is live and the simulator has moved some shipments."""
    page.wait_for_selector("#connection[data-state=live]")
    page.wait_for_timeout(SETTLE_MS)


def show_shipment(page: Page) -> None:
    """Open the first shipment of the board."""
    show_board(page)
    page.locator("#rows tr").first.click()
    page.wait_for_selector(".timeline li")
    page.wait_for_timeout(500)


def show_exports(page: Page) -> None:
    """Order one export of each kind, unless they exist, and wait until all are ready."""
    page.wait_for_selector("#connection[data-state=live]")
    for report, kind in _EXPORTS:
        if page.locator(".export").count() < len(_EXPORTS):
            page.locator(f"input[name=report][value={report}]").check()
            page.locator(f"input[name=format][value={kind}]").check()
            page.get_by_role("button", name="Order export").click()
            page.locator(".export").first.get_by_text("Ready").wait_for()
    page.evaluate("scrollTo(0, 0)")


def show_imports(page: Page) -> None:
    """Dry-run a file with some invalid rows."""
    page.wait_for_selector("#connection[data-state=live]")
    page.set_input_files("#file", files={"name": "spring.csv", "mimeType": "text/csv", "buffer": IMPORTED.encode()})
    page.wait_for_selector("#rows tbody tr")
    page.wait_for_timeout(500)
    page.evaluate("scrollTo(0, 0)")


# name, colour scheme, width, height, path, what is done before the screenshot
PICTURES: Final[tuple[tuple[str, Any, int, int, str, Callable[[Page], None]], ...]] = (
    ("board-light", "light", 1440, 900, "/", show_board),
    ("board-dark", "dark", 1440, 900, "/", show_board),
    ("shipment-light", "light", 1440, 900, "/?status=in_transit,at_facility", show_shipment),
    ("shipment-dark", "dark", 1440, 900, "/?status=in_transit,at_facility", show_shipment),
    ("phone-light", "light", 390, 844, "/", show_board),
    ("phone-dark", "dark", 390, 844, "/?status=in_transit", show_board),
    ("exports-light", "light", 1440, 900, "/exports", show_exports),
    ("exports-dark", "dark", 1440, 900, "/exports", show_exports),
    ("imports-light", "light", 1440, 900, "/imports", show_imports),
    ("imports-dark", "dark", 1440, 900, "/imports", show_imports),
)


if __name__ == "__main__":
    main()
