"""The visible list of what readiness looks at."""

from django.conf import settings

from exports.pdf import libraries
from monitoring.dependencies.probes import ChannelLayer, Disk, OptionalFeature, PostgreSQL, redis_check
from monitoring.health import details
from monitoring.health.endpoints import Application, HealthApplication
from monitoring.health.monitor import Dependency
from monitoring.reports import json_reports
from realtime import report
from shipments.caching import report as cache_report


def application(inner: Application) -> HealthApplication:
    """Put the health answers before an ASGI application."""
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
            "cache": cache_report.hit_rate,
            "websocket": report.health,
            "memory": details.memory_detail(json_reports.process_statuses),
            "process": details.process_detail,
        },
        version=settings.VERSION,
        environment=environment_name(),
    )


def environment_name() -> str:
    """Name the kind of installation."""
    if settings.DEBUG:
        return "development"
    return "demo" if settings.DEMO else "production"
