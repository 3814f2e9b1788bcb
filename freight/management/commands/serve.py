"""`manage.py serve`: run one server process."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from freight.server import serve
from monitoring.prometheus import registrations


class Command(BaseCommand):
    """Serves one role."""

    help = "Serve one role on a unix socket or on host and port until SIGTERM."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the role and the address."""
        parser.add_argument("--role", choices=["api", "ws", "all"], default="all")
        parser.add_argument("--unix", help="path of a unix socket")
        parser.add_argument(
            "--name", default="", help="in metrics, ROLE-…; default: as the socket, else a free number"
        )
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int)
        parser.add_argument(
            "--drain-seconds",
            type=float,
            default=serve.DRAIN_SECONDS,
            help="how long requests in progress may take after SIGTERM",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Serve until SIGTERM or SIGINT."""
        if bool(options["unix"]) == bool(options["port"]):
            raise CommandError("Give either --unix PATH or --port NUMBER.")
        check_name(options["role"], options["name"])
        serve.run(
            options["role"],
            unix=options["unix"],
            host=options["host"],
            port=options["port"],
            drain_seconds=options["drain_seconds"],
            name=options["name"],
        )


def check_name(role: str, name: str) -> None:
    """Raise CommandError for a name that does not say its role."""
    if name and not registrations.is_name_of(role, name):
        raise CommandError(f"--name {name} cannot be used: begin with the role, for example {role}-1.")
