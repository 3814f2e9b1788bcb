"""The exports application."""

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """The exports room."""

    name = "exports"
