"""`manage.py seed_demo`: demo data for two organisations, the same for the same seed and time."""

import time
from argparse import ArgumentParser
from datetime import datetime
from typing import Any, Final

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shipments.demo import demo_only, loader, seed

DEFAULT_SHIPMENTS: Final = 2_000


class Command(BaseCommand):
    """Loads the demo once; a second run changes nothing, and nothing is loaded beside somebody's own data."""

    help = "Load demo data: two organisations, real places, shipments in every state with their histories."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--shipments", type=int, help=f"how many ({DEFAULT_SHIPMENTS})")
        parser.add_argument(
            "--events",
            type=float,
            default=6.0,
            help=f"average of events per shipment, {seed.SHORTEST}…{seed.FULLEST} (6)",
        )
        parser.add_argument("--seed", type=int, default=1, help="the same seed and --now give the same data (1)")
        parser.add_argument("--now", type=_parse_time, help="the time at which the histories end (this minute)")

    def handle(self, *args: Any, **options: Any) -> None:
        requested: int | None = options["shipments"]
        if requested is not None and requested < 0:
            raise CommandError(f"--shipments {requested} cannot be used: give 0 or more.")
        demo_only.require_demo("seed_demo")
        existing = seed.demo_shipment_count()
        if existing is not None:
            self._report_existing(existing, requested)
            return
        demo_only.require_no_other_organization()
        started = time.monotonic()
        try:
            loaded = self._load(DEFAULT_SHIPMENTS if requested is None else requested, options)
        except loader.InvariantBroken as error:
            raise CommandError(f"Nothing was stored: the data would hold {error}") from error
        self._print_json(
            organizations=loaded.organizations, shipments=loaded.shipments, events=loaded.events,
            auditEntries=loaded.events, seed=options["seed"], seconds=round(time.monotonic() - started, 2),
        )  # fmt: skip

    def _report_existing(self, existing: int, requested: int | None) -> None:
        """Report the existing data; fewer shipments than requested are an error."""
        if requested is not None and existing < requested:
            raise CommandError(
                f"The organisation {seed.SLUG!r} has {existing} shipments already and is never loaded over;"
                " use an empty database."
            )
        self._print_json(already=True, shipments=existing)

    def _load(self, shipments: int, options: dict[str, Any]) -> seed.SeedResult:
        now = options["now"] or timezone.now().replace(second=0, microsecond=0)
        console = Console(stderr=True)
        columns = (TextColumn("Demo shipments"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("", total=shipments + seed.RIVAL_SHIPMENTS)
            return seed.seed(
                shipments=shipments, events=options["events"], seed=options["seed"], now=now,
                progress=lambda done: bar.advance(task, done),
            )  # fmt: skip

    def _print_json(self, **counts: object) -> None:
        self.stdout.write(orjson.dumps({"command": "seed_demo", **counts}).decode())


def _parse_time(text: str) -> datetime:
    moment = parse_datetime(text)
    if moment is None or moment.tzinfo is None:
        raise CommandError(f"--now {text} cannot be used: give a time such as 2026-03-02T12:00:00Z.")
    return moment
