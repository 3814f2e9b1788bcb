"""The shipments application."""

from django.apps import AppConfig


class ShipmentsConfig(AppConfig):
    """The domain."""

    name = "shipments"
    verbose_name = "Shipments"
