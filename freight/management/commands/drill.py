"""`manage.py drill NAME`: one runbook section as a timed experiment."""

import json
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tests.drills import exports, imports, leak, relay, spreadsheets
from tests.drills.alerts import runner as alerts
from tests.drills.alerts.prometheus import PrometheusMissing
from tests.drills.scenarios import runner as delivery

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
        """Declare a drill each, with its length and its seed."""
        subparsers = parser.add_subparsers(dest="name", required=True)
        relay_parser = subparsers.add_parser(
            "relay", help="the relay killed at random, on the installation's database"
        )
        delivery_parser = subparsers.add_parser(
            "delivery", help="the whole fault table, on a private stage that touches nothing of the installation"
        )
        alerts_parser = subparsers.add_parser(
            "alerts",
            help="each alert's fault caused on a private stage, under a real Prometheus with the shipped rules",
        )
        leak_parser = subparsers.add_parser(
            "leak", help="a Daphne asked the same round after round: memory must not grow"
        )
        exports_parser = subparsers.add_parser(
            "exports", help="the relay killed while it writes exports, on the installation's database"
        )
        imports_parser = subparsers.add_parser(
            "imports", help="the relay killed while it imports, on the installation's database"
        )
        subparsers.add_parser(
            "spreadsheets", help="exports opened and saved by LibreOffice, of the installation's database"
        )
        for parser_with_seed in (
            relay_parser,
            delivery_parser,
            alerts_parser,
            leak_parser,
            exports_parser,
            imports_parser,
        ):
            parser_with_seed.add_argument("--quick", action="store_true", help="fewer faults, shorter ones")
            parser_with_seed.add_argument("--seed", type=int, default=1)
        delivery_parser.add_argument(
            "--row",
            action="append",
            default=[],
            choices=list(delivery.SCENARIOS),
            help="only this row; may be repeated",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the drill and print what it found."""
        long = not options.get("quick")
        if options["name"] == "spreadsheets":
            results: list[Any] = _spreadsheets()
        elif options["name"] == "relay":
            results = [relay.run(kills=_RELAY_KILLS[long], seed=options["seed"])]
        elif options["name"] == "exports":
            kills, menu = _EXPORT_KILLS[long], exports.EVERYTHING
            results = [exports.run(kills=kills, rows=_EXPORT_ROWS, menu=menu, seed=options["seed"])]
        elif options["name"] == "imports":
            kills, rows = _IMPORT[long]
            results = [imports.run(kills=kills, rows=rows, seed=options["seed"])]
        elif options["name"] == "leak":
            results = list(leak.run(scale=leak.QUICK if options["quick"] else leak.LONG))
        elif options["name"] == "alerts":
            results = list(_alerts(quick=options["quick"], tell=self.stderr.write))
        else:
            results = delivery.run(
                quick=options["quick"], seed=options["seed"], names=options["row"], log=self.stderr.write
            )
        for evidence in results:
            self.stdout.write(json.dumps(evidence.told()))
        if not all(evidence.holds for evidence in results):
            raise SystemExit(1)


def _alerts(*, quick: bool, tell: Callable[[str], object]) -> list[alerts.Evidence]:
    try:
        return alerts.run(quick=quick, log=tell)
    except PrometheusMissing as error:
        raise CommandError(str(error)) from None


def _spreadsheets() -> list[spreadsheets.Evidence]:
    try:
        return list(spreadsheets.run())
    except spreadsheets.LibreOfficeMissing as error:
        raise CommandError(str(error)) from None
