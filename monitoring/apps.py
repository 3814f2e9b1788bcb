"""The monitoring application."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """The monitoring room."""

    name = "monitoring"
