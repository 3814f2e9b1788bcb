"""The visible list of what readiness looks at."""

from django.conf import settings

from exports.pdf import libraries
from monitoring import detail, reports
from monitoring.health import Application, HealthApplication
from monitoring.probes import ChannelLayer, Disk, OptionalFeature, PostgreSQL, redis_check
from monitoring.watch import Dependency
from realtime import report
from shipments.selectors import measured


def application(inner: Application) -> HealthApplication:
    """This will put the health answers before an ASGI application."""
    return HealthApplication(
        inner,
        dependencies=[
            Dependency("database", PostgreSQL(), required=True),
            Dependency("redis", redis_check(), detail_name="cache"),
            Dependency("channelLayer", ChannelLayer(), shown_in_ready=False),
            Dependency("pdf", OptionalFeature(is_present=libraries.present)),
            Dependency("disk", Disk(settings.FREIGHT_HOME), shown_in_ready=False),
        ],
        detail_providers={
            "cache": measured.hit_rate,
            "websocket": report.health,
            "memory": detail.memory_detail(reports.process_statuses),
            "process": detail.process_detail,
        },
        version=settings.VERSION,
        environment=environment_name(),
    )


def environment_name() -> str:
    """This will name the kind of installation."""
    if settings.DEBUG:
        return "development"
    return "demo" if settings.DEMO else "production"
