"""The Django app `realtime`."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """The app's configuration."""

    name = "realtime"
