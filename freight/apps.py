"""Freight's composition root as a Django application: it owns the commands and connects the rooms."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin


class FreightConfig(AppConfig):
    """The composition root."""

    name = "freight"
    verbose_name = "Freight"

    def ready(self) -> None:
        """Connect the rooms once every app has loaded."""
        from freight import wiring  # needs the loaded apps

        wiring.connect()


class FreightAdminConfig(admin.AdminConfig):
    """Django's admin, on our site."""

    default = False
    default_site = "freight.admin_site.FreightAdminSite"
