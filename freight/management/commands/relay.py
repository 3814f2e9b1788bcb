"""`manage.py relay`: run the relay's workers."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from freight import relay
from freight.management.commands.serve import check_name


class Command(BaseCommand):
    """Runs the relay."""

    help = "Run the sequencer, the audit chain and background jobs until SIGTERM. A second one is a standby."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the name."""
        parser.add_argument("--name", default="", help="in metrics, relay-…; default: the lowest free number")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT."""
        check_name("relay", options["name"])
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relay.run(stop, name=options["name"])
