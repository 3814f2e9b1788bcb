"""Assets that documents may load: the bundled fonts and the pictures sent with the task. Nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import font_source_sans_pro
from weasyprint.urls import URLFetcher, URLFetcherResponse

TEMPLATES: Final = Path(__file__).resolve().parents[3] / "templates" / "documents"
FONTS: Final = Path(font_source_sans_pro.font_directory)
SCHEME: Final = "asset:"
_FONT_FILES: Final = {"regular": "Regular", "semibold": "Semibold", "bold": "Bold"}


class AssetRefused(Exception):
    """A document referred to something that is no asset."""


class AssetFetcher(URLFetcher):  # type: ignore[misc]  # the library is untyped
    """Resolves `asset:` URLs by name; refuses and counts every other URL."""

    # Does not call the parent's: that installs openers for http, ftp, file and data.
    def __init__(self, pictures: Mapping[str, bytes] | None = None) -> None:
        self._pictures = pictures or {}
        self._fail_on_errors = False
        self.refused_count = 0

    def fetch(self, url: str, headers: Any = None) -> URLFetcherResponse:
        """Return the asset; raises AssetRefused."""
        name = url.removeprefix(SCHEME) if url.startswith(SCHEME) else ""
        if name in _FONT_FILES:
            path = FONTS / f"SourceSansPro-{_FONT_FILES[name]}.ttf"
            return URLFetcherResponse(url, path.read_bytes(), {"Content-Type": "font/ttf"})
        if name in self._pictures:
            return URLFetcherResponse(url, self._pictures[name], {"Content-Type": "image/png"})
        self.refused_count += 1
        raise AssetRefused
