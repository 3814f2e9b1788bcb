"""The cache of drawn PDFs, and a fingerprint of the code that draws them."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings

from shipments.caching.service import CacheService

_PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]
_SOURCES: Final = (
    "exports/pdf/*.py",
    "exports/reports/formats/pdf.py",
    "exports/sandbox/*.py",
    "exports/sandbox/tasks/*.py",
    "templates/documents/*",
)

pdf_cache: Final = CacheService(
    "export-pdf",
    ttl=settings.EXPORT_CACHE_TTL_SECONDS,
    wait=30.0,
    max_bytes=6 * 1024 * 1024,
    local_bytes=16 * 1024 * 1024,
)


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Return a hash of the code and templates that draw PDFs; part of every stamp, so that a change redraws all."""
    paths = sorted(path for pattern in _SOURCES for path in _PROJECT_ROOT.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest() + settings.VERSION
