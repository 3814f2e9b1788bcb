"""`manage.py new_epoch`: begins a new epoch, for the end of every restore."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from monitoring import clock
from shipments.auth import subjects
from shipments.services.history import generations


class Command(BaseCommand):
    """Begins a new generation."""

    help = "Begin a new epoch after the database was restored: every client then takes a snapshot."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", default="", help="what was done, for the audit")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the old and the new epoch."""
        reason = options["reason"].strip()
        if len(reason) > generations.MAX_REASON_LENGTH:
            raise CommandError(
                f"--reason has {len(reason)} characters: give at most {generations.MAX_REASON_LENGTH}."
            )
        change = generations.begin_generation(
            by=subjects.installation_subject(name="manage.py new_epoch"), now=clock.compared_now(),
            reason=reason or "manage.py new_epoch",
        )  # fmt: skip
        assert change is not None  # noqa: S101  it was not made to depend on anything
        self.stdout.write(f"The epoch was {change.before} and is {change.after}.")
