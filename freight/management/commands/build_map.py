"""`manage.py build_map`: the coastlines of the board's map, from an installed package into FREIGHT_HOME."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from freight.pages import coastlines


class Command(BaseCommand):
    """Builds the map's one file; the data has its own licence and is not part of Freight."""

    help = "Build the map's coastlines (world.json) into FREIGHT_HOME/build/map unless they are up to date."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        target = settings.FREIGHT_HOME / "build" / "map" / "world.json"
        was_built = coastlines.build(target)
        self.stdout.write(f"{'Built' if was_built else 'Up to date:'} {target}")
