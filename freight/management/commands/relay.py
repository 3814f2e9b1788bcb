"""`manage.py relay`: the sequencer and its fellow workers."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from freight import relay


class Command(BaseCommand):
    """Runs the relay."""

    help = "Number committed events and link the audit until SIGTERM. May run twice: one leads."
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        """Work until it is told to stop."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relay.run(stop)
