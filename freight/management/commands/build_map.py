"""`manage.py build_map`: build the coastlines of the board's map from an installed package."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from freight.pages import coastlines


class Command(BaseCommand):
    """Builds the map's file. The data has a licence of its own and is not distributed with Freight."""

    help = "Build the map's coastlines (world.json) into FREIGHT_HOME/build/map unless they are up to date."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        target = settings.FREIGHT_HOME / "build" / "map" / "world.json"
        was_built = coastlines.build(target)
        self.stdout.write(f"{'Built' if was_built else 'Up to date:'} {target}")
