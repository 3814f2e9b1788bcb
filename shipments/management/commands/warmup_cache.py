"""`manage.py warmup_cache`: prepares shipments in the cache before they are requested."""

import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from shipments import representation
from shipments.caching import prepared
from shipments.domain.lifecycle import STATES
from shipments.models import Shipment

_COLUMNS: Final = ("organization_id", *representation.SHIPMENT_COLUMNS)
_MAX_BATCH: Final = 10_000


class Command(BaseCommand):
    """Fills the cache. It may run beside live traffic and in parallel: the key of an entry holds its version."""

    help = "Prepare the shipments of all organisations in the cache, by default those in transit."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--status", default="in_transit", choices=STATES, help="which ones (in_transit)")
        parser.add_argument("--batch", type=int, default=500, help=f"how many at a time, 1…{_MAX_BATCH} (500)")

    def handle(self, *args: Any, **options: Any) -> None:
        status, batch = options["status"], options["batch"]
        if not 1 <= batch <= _MAX_BATCH:
            raise CommandError(f"--batch {batch} cannot be used: give 1 to {_MAX_BATCH}.")
        started = time.monotonic()
        read = stored = 0
        console = Console(stderr=True)
        columns = (TextColumn("Warm cache"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            total = Shipment.objects.not_deleted().filter(status=status).count() if console.is_terminal else None
            task = bar.add_task("", total=total)
            for rows in _batches(status, batch):
                read += len(rows)
                stored += len(rows) if prepared.warm_up(rows) else 0
                bar.advance(task, len(rows))
        report = {
            "command": "warmup_cache", "status": status, "shipments": read, "stored": stored,
            "seconds": round(time.monotonic() - started, 2),
        }  # fmt: skip
        self.stdout.write(orjson.dumps(report).decode())


def _batches(status: str, size: int) -> Iterator[Sequence[dict[str, Any]]]:
    """Yield the rows in batches, by keyset pagination over the id."""
    shipments = Shipment.objects.not_deleted().filter(status=status).order_by("pk")
    last = uuid.UUID(int=0)
    while rows := list(shipments.filter(pk__gt=last).values(*_COLUMNS)[:size]):
        yield rows
        last = rows[-1]["id"]
