"""The monitoring application."""

from django.apps import AppConfig
from django.core.checks import Tags, register


class MonitoringConfig(AppConfig):
    """Monitoring: it must be ready before the first connection to the database."""

    name = "monitoring"

    def ready(self) -> None:
        """Time every query, and compare indexes in `manage.py check --database default`."""
        from monitoring.queries import index_drift, query_timing  # needs the settings

        query_timing.install_timing()
        register(index_drift.check_indexes, Tags.database)
