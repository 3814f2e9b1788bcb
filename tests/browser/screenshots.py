"""`make screenshots`: pictures of the running product for the documentation, by a real browser.

    python -m tests.browser.screenshots [--url http://127.0.0.1:4000] [--into docs/images]

The product must run with the demo data and the simulator: `make run`.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.browser import chromium

ROOT: Final = Path(__file__).resolve().parents[2]
EMAIL: Final = "dispatcher@demo.test"
PASSWORD: Final = "freight-demo"
# name, colour scheme, width, height, path, whether a shipment is open
PICTURES: Final = (
    ("board-light", "light", 1440, 900, "/", False),
    ("board-dark", "dark", 1440, 900, "/", False),
    ("shipment-light", "light", 1440, 900, "/?status=in_transit,at_facility", True),
    ("shipment-dark", "dark", 1440, 900, "/?status=in_transit,at_facility", True),
    ("phone-light", "light", 390, 844, "/", False),
    ("phone-dark", "dark", 390, 844, "/?status=in_transit", True),
)
LOOK_MS: Final = 5_000  # so that the simulator has something to show


def main() -> None:
    """This will write one PNG a picture and name each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=f"http://127.0.0.1:{os.environ.get('PORT', '4000')}")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images")
    asked = parser.parse_args()
    asked.into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.FLAGS)
        try:
            take(browser, asked.url, asked.into)
        except Error as error:
            if "ERR_CONNECTION_REFUSED" in str(error):
                sys.exit(f"Nothing answers at {asked.url}. Start the product first: make run")
            raise
        finally:
            browser.close()


def take(browser: Browser, url: str, into: Path) -> None:
    """This will log in once and take every picture."""
    context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto("/login")
    page.screenshot(path=into / "login.png")
    page.fill("#email", EMAIL)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{url}/")
    session = context.storage_state()
    for name, scheme, width, height, path, opened in PICTURES:
        fresh = browser.new_context(
            base_url=url,
            storage_state=session,
            color_scheme=scheme,
            locale="en-GB",
            viewport={"width": width, "height": height},
            device_scale_factor=1 if width > 1000 else 2,
        )
        page = fresh.new_page()
        page.goto(path)
        show(page, opened=opened)
        page.screenshot(path=into / f"{name}.png")
        print(into / f"{name}.png")
        fresh.close()


def show(page: Page, *, opened: bool) -> None:
    """This will wait until the board is live and something has happened, and open the first shipment if asked."""
    page.wait_for_selector("#connection[data-state=live]")
    page.wait_for_timeout(LOOK_MS)
    if opened:
        page.locator("#rows tr").first.click()
        page.wait_for_selector(".timeline li")
        page.wait_for_timeout(500)


if __name__ == "__main__":
    main()
