"""The monitoring application."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Monitoring: it must be ready before the first connection to the database."""

    name = "monitoring"

    def ready(self) -> None:
        """Time every query."""
        from monitoring.queries import query_timing  # needs the settings

        query_timing.install_timing()
