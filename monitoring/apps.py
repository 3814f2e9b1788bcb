"""The monitoring application."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """The monitoring room."""

    name = "monitoring"

    def ready(self) -> None:
        """Time every query."""
        from monitoring.queries import query_timing  # needs the settings

        query_timing.install_timing()
