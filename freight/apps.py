"""Freight's composition root as a Django app: it owns the commands and connects the other apps."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin


class FreightConfig(AppConfig):
    """The composition root."""

    name = "freight"
    verbose_name = "Freight"

    def ready(self) -> None:
        """Connect the apps once all have loaded."""
        from freight import (
            deploy_checks,  # noqa: F401  importing it registers the system checks
            wiring,  # it imports models
        )
        from freight.fast_path import checks  # noqa: F401  as above

        wiring.connect()


class FreightAdminConfig(admin.AdminConfig):
    """Django's admin with our AdminSite."""

    default = False
    default_site = "freight.admin_site.FreightAdminSite"
