"""The health checks of this installation: which dependencies readiness needs, which only the details show."""

from django.conf import settings

from exports import queue_report
from exports.background import missing_files
from exports.pdf import libraries
from monitoring.dependencies import database_breaker
from monitoring.dependencies.probes import ChannelLayer, Clock, Disks, OptionalFeature, PostgreSQL, redis_check
from monitoring.health import details, processes
from monitoring.health.endpoints import Application, HealthApplication
from monitoring.health.monitor import Dependency
from monitoring.reports import json_reports
from realtime import report
from shipments.caching import report as cache_report
from shipments.services.history import regressions


def application(inner: Application) -> HealthApplication:
    """Return the ASGI application that answers the health checks and passes everything else to `inner`."""
    return HealthApplication(
        inner,
        dependencies=[
            Dependency(
                "database", PostgreSQL(), required=True, is_remote=True, on_result=database_breaker.record_check
            ),
            Dependency("clock", Clock(), shown_in_ready=False),
            Dependency("redis", redis_check(), is_remote=True, detail_name="cache"),
            Dependency("channelLayer", ChannelLayer(), is_remote=True, shown_in_ready=False),
            Dependency("pdf", OptionalFeature(is_present=libraries.present)),
            Dependency("disk", Disks()),
        ],
        detail_providers={
            "cache": cache_report.hit_rate,
            "websocket": report.health,
            "backgroundJobs": queue_report.health,
            "exportFiles": missing_files.health,
            "memory": details.memory_detail(json_reports.process_statuses),
            "process": details.process_detail,
            "processes": processes.watch.detail,
            "pool": processes.pool_detail,
            "clock": details.clock_detail,
            "history": regressions.health,
        },
        version=settings.VERSION,
        environment=environment_name(),
    )


def environment_name() -> str:
    """Return `development`, `demo` or `production`, from DEBUG and DEMO."""
    if settings.DEBUG:
        return "development"
    return "demo" if settings.DEMO else "production"
