"""The visible list of what readiness looks at."""

from django.conf import settings

from exports.pdf import libraries
from monitoring import detail, reports
from monitoring.health import Application, HealthApplication
from monitoring.probes import ChannelLayer, Disk, Optional, PostgreSQL, redis_check
from monitoring.watch import Part
from realtime import report
from shipments.selectors import measured


def application(inner: Application) -> HealthApplication:
    """This will put the health answers before an ASGI application."""
    return HealthApplication(
        inner,
        parts=[
            Part("database", PostgreSQL(), vital=True),
            Part("redis", redis_check(), shown="cache"),
            Part("channelLayer", ChannelLayer(), told=False),
            Part("pdf", Optional(present=libraries.present)),
            Part("disk", Disk(settings.FREIGHT_HOME), told=False),
        ],
        facts={
            "cache": measured.hit_rate,
            "websocket": report.health,
            "memory": detail.memory(reports.processes),
            "process": detail.process,
        },
        version=settings.VERSION,
        environment=environment(),
    )


def environment() -> str:
    """This will name the kind of installation."""
    if settings.DEBUG:
        return "development"
    return "demo" if settings.DEMO else "production"
