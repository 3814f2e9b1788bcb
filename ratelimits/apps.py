"""The ratelimits application."""

from django.apps import AppConfig


class RatelimitsConfig(AppConfig):
    """The ratelimits room."""

    name = "ratelimits"
