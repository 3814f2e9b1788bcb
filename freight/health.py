"""The visible list of what readiness looks at."""

import ctypes
import sys

from django.conf import settings

from monitoring.health import Application, HealthApplication, Part
from monitoring.probes import Optional, PostgreSQL, redis_check

# The libraries that WeasyPrint loads, by the names under which the loader knows them.
_PANGO = ("libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz-subset.so.0")
_PANGO_MAC = ("libpango-1.0.dylib", "libpangoft2-1.0.dylib", "libharfbuzz-subset.0.dylib")


def application(inner: Application) -> HealthApplication:
    """This will put the health answers before an ASGI application."""
    return HealthApplication(
        inner,
        parts=[
            Part("database", PostgreSQL(), vital=True),
            Part("redis", redis_check()),
            Part("pdf", Optional(present=can_draw_pdf)),
        ],
        version=settings.VERSION,
        environment=environment(),
    )


def environment() -> str:
    """This will name the kind of installation."""
    if settings.DEBUG:
        return "development"
    return "demo" if settings.DEMO else "production"


def can_draw_pdf() -> bool:
    """This will tell whether the libraries that draw PDFs are installed."""
    try:
        for name in _PANGO_MAC if sys.platform == "darwin" else _PANGO:
            ctypes.CDLL(name)
    except OSError:
        return False
    return True
