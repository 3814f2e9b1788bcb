"""The visible list of what readiness looks at."""

from django.conf import settings

from exports.pdf import libraries
from monitoring.health import Application, HealthApplication, Part
from monitoring.probes import Optional, PostgreSQL, redis_check


def application(inner: Application) -> HealthApplication:
    """This will put the health answers before an ASGI application."""
    return HealthApplication(
        inner,
        parts=[
            Part("database", PostgreSQL(), vital=True),
            Part("redis", redis_check()),
            Part("pdf", Optional(present=libraries.present)),
        ],
        version=settings.VERSION,
        environment=environment(),
    )


def environment() -> str:
    """This will name the kind of installation."""
    if settings.DEBUG:
        return "development"
    return "demo" if settings.DEMO else "production"
