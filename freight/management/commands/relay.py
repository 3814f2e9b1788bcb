"""`manage.py relay`: run the relay's workers."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from freight import relay


class Command(BaseCommand):
    """Runs the relay."""

    help = "Run the sequencer, the audit chain and background jobs until SIGTERM. A second one is a standby."
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        """Run until SIGTERM or SIGINT."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relay.run(stop)
