"""`manage.py nginx_conf`: print nginx's configuration for this installation."""

import ipaddress
import os
import pwd
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from freight.embedded import layout
from freight.settings.environment import IPNetwork
from freight.supervisor import nginx_configuration
from freight.supervisor.nginx_configuration import Certificate


class Command(BaseCommand):
    """Renders `deploy/nginx/freight.conf`, as `manage.py up` does."""

    help = "Print nginx's configuration for API_PROCESSES and WS_PROCESSES on the sockets of one folder."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what an installation decides."""
        parser.add_argument("--listen", help="address:port (0.0.0.0:443 with a certificate, else PORT)")
        parser.add_argument("--sockets", type=Path, help="folder of api-1.sock, ws-1.sock, … (FREIGHT_HOME's)")
        parser.add_argument("--run", type=Path, help="nginx's private folder (FREIGHT_HOME/nginx)")
        parser.add_argument("--user", default=pwd.getpwuid(os.geteuid()).pw_name, help="who owns the sockets (you)")
        parser.add_argument("--certificate", type=Path, help="TLS certificate, where nginx ends TLS")
        parser.add_argument("--key", type=Path, help="its private key")
        parser.add_argument(
            "--balancer", action="append", default=[], metavar="NETWORK",
            help="network of what ends TLS in front of nginx; may be repeated",
        )  # fmt: skip

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the file; raises CommandError for values that do not fit together."""
        tls = _certificate(options["certificate"], options["key"])
        sockets = options["sockets"] or layout.at(settings.FREIGHT_HOME).sockets
        self.stdout.write(
            nginx_configuration.render(
                listen=options["listen"] or ("0.0.0.0:443" if tls else f"0.0.0.0:{settings.PORT}"),
                run=options["run"] or settings.FREIGHT_HOME / "nginx",
                api=[sockets / f"api-{number}.sock" for number in range(1, settings.API_PROCESSES + 1)],
                ws=[sockets / f"ws-{number}.sock" for number in range(1, settings.WS_PROCESSES + 1)],
                static=settings.STATIC_ROOT, gateway=Path(settings.GATEWAY_SOCKET), user=options["user"], tls=tls,
                balancer=[_network(text) for text in options["balancer"]],
            )
        )  # fmt: skip
        if settings.HTTPS and not (tls or options["balancer"]):
            self.stderr.write(
                "HTTPS is on, and nothing here ends TLS: every page would redirect to itself. Give --certificate"
                " and --key, or --balancer with the network of what ends it."
            )


def _certificate(certificate: Path | None, key: Path | None) -> Certificate | None:
    if (certificate is None) != (key is None):
        raise CommandError("Give both --certificate and --key, or neither.")
    return Certificate(certificate.absolute(), key.absolute()) if certificate and key else None


def _network(text: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise CommandError(f"--balancer {text} cannot be used: give a network such as 10.0.0.0/8.") from None
