"""The ratelimits application."""

from django.apps import AppConfig


class RatelimitsConfig(AppConfig):
    """Rate limits."""

    name = "ratelimits"
