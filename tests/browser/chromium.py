"""The Chromium of the machine, found on the PATH."""

import shutil
from typing import Final

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str:
    """Return the path of the browser; raises RuntimeError that says how to install it."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise RuntimeError("There is no Chromium on the PATH. Run: make system-packages")
