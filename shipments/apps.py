"""The Django app `shipments`."""

from django.apps import AppConfig


class ShipmentsConfig(AppConfig):
    """The domain."""

    name = "shipments"
    verbose_name = "Shipments"
