"""`manage.py up`: run the whole product on one port."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

from freight.supervisor.startup import CHECKOUT


class Command(BaseCommand):
    """Starts services, roles and nginx, and supervises them."""

    help = "Start everything on one port (PORT, FREIGHT_HOME, API_PROCESSES, WS_PROCESSES, SIMULATE)."
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        """Replace this process by the supervisor: it sets DEMO and FREIGHT_HOME before the settings are read."""
        paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        os.execv(  # noqa: S606  our own interpreter
            sys.executable, [sys.executable, "-m", "freight.supervisor"]
        )
