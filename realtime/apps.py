"""The realtime application."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """The realtime room."""

    name = "realtime"
