"""`manage.py simulate`: keeps the demo moving through the public services."""

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
from shipments.demo import demo_only, fault_injector
from shipments.demo.driver_simulator import DriverSimulator
from shipments.demo.seed import SLUG
from shipments.demo.shipment_simulator import ShipmentSimulator
from shipments.models import Organization

T = TypeVar("T")

_REPORT_SECONDS: Final = 60.0
# Steps of the shipment simulator per move of a driver.
_STEPS_PER_MOVE: Final = 2
_MIN_WAIT_SECONDS: Final = 0.5
_MAX_WAIT_SECONDS: Final = 10.0


class Command(BaseCommand):
    """Writes events at a steady rate until SIGTERM, SIGINT or `--count`."""

    help = (
        "Drive the demo organisation's shipments through their lifecycle. Half of the events refine the estimates"
        " of the newest 50 shipments in transit, in turn. Reports once a minute."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rate", type=float, default=10.0, help="events a second (10)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same choices (1)")
        parser.add_argument("--count", type=int, help="stop after this many steps, refused ones included")
        parser.add_argument(
            "--faults", default="", help=f"faulty observations too: {','.join(fault_injector.KINDS)}"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        kinds = frozenset(filter(None, options["faults"].split(",")))
        if unknown := kinds - set(fault_injector.KINDS):
            raise CommandError(
                f"--faults {','.join(sorted(unknown))} is unknown: choose {','.join(fault_injector.KINDS)}."
            )
        if not 0 < options["rate"] <= 1000:
            raise CommandError(f"--rate {options['rate']} cannot be used: give events a second, up to 1000.")
        demo_only.require_demo("simulate")
        self._stop = threading.Event()
        self._install_signal_handlers()
        runtime.start_reporting("simulate")
        try:
            self._simulate(kinds, options)
        finally:
            runtime.stop_reporting()

    def _simulate(self, kinds: frozenset[str], options: dict[str, Any]) -> None:
        organization = self._retry_while_unavailable(lambda: Organization.objects.filter(slug=SLUG).first())
        if self._stop.is_set():
            return
        if organization is None:
            raise CommandError("There is no demo organisation; run `manage.py seed_demo` first.")
        shipment_simulator = ShipmentSimulator(organization.pk, seed=options["seed"], faults=kinds)
        driver_simulator = DriverSimulator(organization.pk, shipment_simulator.rng)
        self._run(shipment_simulator, driver_simulator, rate=options["rate"], count=options["count"])

    def _run(
        self,
        shipment_simulator: ShipmentSimulator,
        driver_simulator: DriverSimulator,
        *,
        rate: float,
        count: int | None,
    ) -> None:
        due = time.monotonic()
        report_at = due + _REPORT_SECONDS
        positions = done = 0
        while not self._stop.is_set() and (count is None or done < count):
            self._retry_while_unavailable(lambda: shipment_simulator.step(timezone.now()))
            done += 1
            if done % _STEPS_PER_MOVE == 0:
                positions += (
                    self._retry_while_unavailable(lambda: driver_simulator.move(1, now=timezone.now())) or 0
                )
            if time.monotonic() >= report_at:
                self._report(shipment_simulator.counts, positions)
                report_at, positions = time.monotonic() + _REPORT_SECONDS, 0
            # After a delay of more than a second the backlog is dropped: no burst to catch up.
            due = max(due + 1 / rate, time.monotonic() - 1)
            self._stop.wait(max(due - time.monotonic(), 0))
        self._report(shipment_simulator.counts, positions)
        connection.close()

    def _retry_while_unavailable(self, operation: Callable[[], T]) -> T | None:
        """Run the operation, retried with backoff while the database is unavailable; None once stopped."""
        wait = _MIN_WAIT_SECONDS
        while not self._stop.is_set():
            try:
                return operation()
            except (OperationalError, InterfaceError) as error:
                self._print_json(waiting=wait, reason=str(error).strip().splitlines()[0])
                connection.close()
                self._stop.wait(wait)
                wait = min(wait * 2, _MAX_WAIT_SECONDS)
        return None

    def _install_signal_handlers(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can set handlers
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())

    def _report(self, counts: Counter[str], positions: int) -> None:
        self._print_json(
            events=counts.total() - counts["skipped"], skipped=counts["skipped"], positions=positions,
            byKind={kind: counts[kind] for kind in sorted(counts) if kind != "skipped"},
        )  # fmt: skip
        counts.clear()

    def _print_json(self, **values: object) -> None:
        line = {"command": "simulate", "timestamp": timezone.now(), **values}
        self.stdout.write(orjson.dumps(line).decode())
        self.stdout.flush()
