"""`manage.py drill NAME`: one runbook section as a timed experiment, where the drills are installed."""

import argparse
from types import ModuleType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Loads the drills of the source checkout (`tests/drills`) and runs one of them."""

    help = "Inject a section's faults, check the promise, print the evidence as JSON; exit status 1 where it broke."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare a sub-command for each drill; any words are taken where the drills are not installed."""
        drills = _load_drills()
        if drills is not None:
            drills.add_arguments(parser)
        else:
            parser.add_argument("words", nargs=argparse.REMAINDER)

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the drill and print its evidence."""
        drills = _load_drills()
        if drills is None:
            raise CommandError(
                "The drills are not installed here: they come with the source checkout (tests/drills)."
            )
        if not drills.run(options, out=self.stdout.write, err=self.stderr.write):
            raise SystemExit(1)


def _load_drills() -> ModuleType | None:
    # Imported here, since an installation may have the product without its tests.
    try:
        from tests.drills import commands
    except ModuleNotFoundError as error:
        if error.name not in {"tests", "tests.drills"}:
            raise
        return None
    return commands
