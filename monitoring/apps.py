"""The monitoring application."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """The monitoring room."""

    name = "monitoring"

    def ready(self) -> None:
        """This will time every query."""
        from monitoring import queries  # needs the settings

        queries.install_timing()
