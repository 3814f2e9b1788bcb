"""`manage.py drill NAME`: one runbook section as a timed experiment."""

import json
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from freight.drills import exports, imports, leak, relay, spreadsheets
from freight.drills.alerts import run as alerts
from freight.drills.alerts.prometheus import Missing
from freight.drills.delivery import run as delivery

# Kills of the relay, in the quick and in the long form.
_RELAY_KILLS: Final = (5, 50)
_EXPORT_KILLS: Final = (5, 20)
_EXPORT_ROWS: Final = 20_000
# Kills of the relay and rows of the file; of one import there are ten attempts.
_IMPORT: Final = ((3, 10_000), (9, 60_000))


class Command(BaseCommand):
    """Runs one drill."""

    help = "Inject a section's faults, check the promise, print the evidence as JSON; exit status 1 where it broke."

    def add_arguments(self, parser: CommandParser) -> None:
        """This will declare a drill each, with its length and its seed."""
        drills = parser.add_subparsers(dest="name", required=True)
        of_relay = drills.add_parser("relay", help="the relay killed at random, on the installation's database")
        of_delivery = drills.add_parser(
            "delivery", help="the whole fault table, on a private stage that touches nothing of the installation"
        )
        of_alerts = drills.add_parser(
            "alerts",
            help="each alert's fault caused on a private stage, under a real Prometheus with the shipped rules",
        )
        of_leak = drills.add_parser("leak", help="a Daphne asked the same round after round: memory must not grow")
        of_exports = drills.add_parser(
            "exports", help="the relay killed while it writes exports, on the installation's database"
        )
        of_imports = drills.add_parser(
            "imports", help="the relay killed while it imports, on the installation's database"
        )
        drills.add_parser(
            "spreadsheets", help="exports opened and saved by LibreOffice, of the installation's database"
        )
        for each in (of_relay, of_delivery, of_alerts, of_leak, of_exports, of_imports):
            each.add_argument("--quick", action="store_true", help="fewer faults, shorter ones")
            each.add_argument("--seed", type=int, default=1)
        of_delivery.add_argument(
            "--row", action="append", default=[], choices=list(delivery.ROWS), help="only this row; may be repeated"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """This will run the drill and print what it found."""
        long = not options.get("quick")
        if options["name"] == "spreadsheets":
            found: list[Any] = _spreadsheets()
        elif options["name"] == "relay":
            found = [relay.run(kills=_RELAY_KILLS[long], seed=options["seed"])]
        elif options["name"] == "exports":
            kills, menu = _EXPORT_KILLS[long], exports.EVERYTHING
            found = [exports.run(kills=kills, rows=_EXPORT_ROWS, menu=menu, seed=options["seed"])]
        elif options["name"] == "imports":
            kills, rows = _IMPORT[long]
            found = [imports.run(kills=kills, rows=rows, seed=options["seed"])]
        elif options["name"] == "leak":
            found = list(leak.run(scale=leak.QUICK if options["quick"] else leak.LONG))
        elif options["name"] == "alerts":
            found = list(_alerts(quick=options["quick"], tell=self.stderr.write))
        else:
            found = delivery.run(
                quick=options["quick"], seed=options["seed"], names=options["row"], tell=self.stderr.write
            )
        for evidence in found:
            self.stdout.write(json.dumps(evidence.told()))
        if not all(evidence.holds for evidence in found):
            raise SystemExit(1)


def _alerts(*, quick: bool, tell: Callable[[str], object]) -> list[alerts.Evidence]:
    try:
        return alerts.run(quick=quick, tell=tell)
    except Missing as error:
        raise CommandError(str(error)) from None


def _spreadsheets() -> list[spreadsheets.Evidence]:
    try:
        return list(spreadsheets.run())
    except spreadsheets.Missing as error:
        raise CommandError(str(error)) from None
