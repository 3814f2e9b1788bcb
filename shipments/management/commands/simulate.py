"""`manage.py simulate`: keeps the demo moving, through the public services."""

import signal
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from monitoring import runtime
from shipments.demo import faults
from shipments.demo.fleet import Fleet
from shipments.demo.seed import SLUG
from shipments.demo.traffic import Traffic
from shipments.models import Organization

T = TypeVar("T")

_REPORT_S: Final = 60.0
# A driver moves at every so many turns.
_MOVE_EVERY: Final = 2
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 10.0


class Command(BaseCommand):
    """Writes events at a steady rate until it is told to stop."""

    help = (
        "Drive the demo organisation's shipments through their lifecycle. Half of the events refine the estimates"
        " of the newest 50 shipments in transit, in turn. Reports once a minute."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rate", type=float, default=10.0, help="events a second (10)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same choices (1)")
        parser.add_argument("--count", type=int, help="stop after so many turns, refused ones included")
        parser.add_argument("--faults", default="", help=f"faulty observations too: {','.join(faults.KINDS)}")

    def handle(self, *args: Any, **options: Any) -> None:
        kinds = frozenset(filter(None, options["faults"].split(",")))
        if unknown := kinds - set(faults.KINDS):
            raise CommandError(f"--faults {','.join(sorted(unknown))} is unknown: choose {','.join(faults.KINDS)}.")
        if not 0 < options["rate"] <= 1000:
            raise CommandError(f"--rate {options['rate']} cannot be used: give events a second, up to 1000.")
        self._stop = threading.Event()
        self._notice_signals()
        runtime.start_reporting("simulate")
        organization = self._patiently(lambda: Organization.objects.filter(slug=SLUG).first())
        if self._stop.is_set():
            return
        if organization is None:
            raise CommandError("There is no demo organisation; run `manage.py seed_demo` first.")
        traffic = Traffic(organization.pk, seed=options["seed"], faults=kinds)
        fleet = Fleet(organization.pk, traffic.rng)
        self._run(traffic, fleet, rate=options["rate"], count=options["count"])

    def _run(self, traffic: Traffic, fleet: Fleet, *, rate: float, count: int | None) -> None:
        due = time.monotonic()
        report_at = due + _REPORT_S
        positions = done = 0
        while not self._stop.is_set() and (count is None or done < count):
            self._patiently(lambda: traffic.step(timezone.now()))
            done += 1
            if done % _MOVE_EVERY == 0:
                positions += self._patiently(lambda: fleet.move(1, now=timezone.now())) or 0
            if time.monotonic() >= report_at:
                self._report(traffic.counts, positions)
                report_at, positions = time.monotonic() + _REPORT_S, 0
            # What could not be written in time is not made up for: the rate is a rate, not a debt.
            due = max(due + 1 / rate, time.monotonic() - 1)
            self._stop.wait(max(due - time.monotonic(), 0))
        self._report(traffic.counts, positions)
        connection.close()

    def _patiently(self, act: Callable[[], T]) -> T | None:
        """This will act, again and again while the database is away; None once told to stop."""
        wait = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                return act()
            except (OperationalError, InterfaceError) as error:
                self._say(waiting=wait, reason=str(error).strip().splitlines()[0])
                connection.close()
                self._stop.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT_S)
        return None

    def _notice_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals reach the main thread only
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())

    def _report(self, counts: Counter[str], positions: int) -> None:
        self._say(
            events=counts.total() - counts["skipped"], skipped=counts["skipped"], positions=positions,
            byKind={kind: counts[kind] for kind in sorted(counts) if kind != "skipped"},
        )  # fmt: skip
        counts.clear()

    def _say(self, **facts: object) -> None:
        line = {"command": "simulate", "timestamp": timezone.now(), **facts}
        self.stdout.write(orjson.dumps(line).decode())
        self.stdout.flush()
