"""`manage.py drill NAME`: one runbook section as a timed experiment."""

import json
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from freight.drills import relay

# name: what it does, with the quick and the long number of faults
DRILLS: Final[dict[str, tuple[Callable[..., relay.Evidence], int, int]]] = {"relay": (relay.run, 5, 50)}


class Command(BaseCommand):
    """Runs one drill."""

    help = "Inject a section's faults, check the promise, print the evidence as JSON; exit status 1 where it broke."

    def add_arguments(self, parser: CommandParser) -> None:
        """This will declare the drill's name, its length and its seed."""
        parser.add_argument("name", choices=sorted(DRILLS))
        parser.add_argument("--quick", action="store_true", help="a tenth of the faults")
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *_: Any, **options: Any) -> None:
        """This will run the drill and print what it found."""
        run, quick, long = DRILLS[options["name"]]
        evidence = run(kills=quick if options["quick"] else long, seed=options["seed"])
        self.stdout.write(json.dumps(evidence.told()))
        if not evidence.holds:
            raise SystemExit(1)
