"""The simulator: its choices, the services that it uses, and the command."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import transaction
from pytest_django import Settings

from monitoring.prometheus import registrations
from shipments import representation
from shipments.demo import fault_injector, seed, shipment_simulator
from shipments.demo.driver_simulator import DriverSimulator
from shipments.demo.shipment_simulator import ETA_POOL, MIN_IN_TRANSIT, ShipmentSimulator
from shipments.domain import lifecycle
from shipments.models import Checkpoint, DriverPosition, Organization, Shipment, ShipmentEvent

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TICK = timedelta(milliseconds=100)
# More than MIN_IN_TRANSIT + ETA_POOL of them are in transit.
SHIPMENTS = 900

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo() -> Organization:
    """Load the demo with its shortest histories and return its organisation."""
    seed.seed(shipments=SHIPMENTS, events=1, seed=1, now=NOW)
    return Organization.objects.get(slug="demo")


def _simulate(demo: Organization, steps: int, **options: Any) -> ShipmentSimulator:
    simulated = ShipmentSimulator(demo.pk, **({"seed": 1} | options))
    for number in range(1, steps + 1):
        simulated.step(NOW + number * TICK)
    return simulated


def _written(demo: Organization) -> Any:
    return ShipmentEvent.objects.filter(organization=demo, recorded_at__gt=NOW).order_by("recorded_at", "seq")


def test_half_of_the_events_refine_the_newest_fifty_in_transit_in_rotation(demo: Organization) -> None:
    newest = list(
        Shipment.objects.of_organization(demo.pk)
        .filter(status="in_transit")
        .order_by("-created_at", "-id")[:ETA_POOL]
    )

    _simulate(demo, 4 * ETA_POOL)

    events_by_shipment = Counter(_written(demo).filter(shipment__in=newest).values_list("shipment_id", flat=True))
    still_in_transit = Shipment.objects.filter(pk__in=events_by_shipment, status="in_transit").count()
    assert set(events_by_shipment) == {shipment.pk for shipment in newest}
    assert max(events_by_shipment.values()) - min(events_by_shipment.values()) <= 1
    assert sum(events_by_shipment.values()) == pytest.approx(2 * ETA_POOL, abs=4)
    assert still_in_transit == ETA_POOL


def test_nearly_every_step_writes_an_event(demo: Organization) -> None:
    simulated = _simulate(demo, 200)

    assert simulated.counts.total() == 200
    assert simulated.counts["skipped"] <= 10
    assert _written(demo).count() == 200 - simulated.counts["skipped"]


def test_one_round_leaves_the_distribution_of_states_as_it_was(demo: Organization) -> None:
    before = Counter(Shipment.objects.of_organization(demo.pk).values_list("status", flat=True))

    _simulate(demo, 2 * len(shipment_simulator._ROUND_OF_ACTIONS))

    after = Counter(Shipment.objects.of_organization(demo.pk).values_list("status", flat=True))
    changed = {status: after[status] - before[status] for status in lifecycle.STATES}
    assert {status: by for status, by in changed.items() if abs(by) > 2} == {}
    assert after["delivered"] > before["delivered"]
    assert after.total() > before.total()


def test_shipments_stay_in_transit_where_they_are_few(demo: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    in_transit = Shipment.objects.of_organization(demo.pk).filter(status="in_transit").count()
    monkeypatch.setattr(shipment_simulator, "MIN_IN_TRANSIT", in_transit)
    monkeypatch.setattr(shipment_simulator, "_ROUND_OF_ACTIONS", ("bring",))

    simulated = _simulate(demo, 10)

    assert MIN_IN_TRANSIT >= 100
    assert simulated.counts["bring"] == 0
    assert Shipment.objects.of_organization(demo.pk).filter(status="in_transit").count() == in_transit


def test_the_same_seed_makes_the_same_choices(demo: Organization) -> None:
    def choices() -> list[Any]:
        sid = transaction.savepoint()
        _simulate(demo, 60, seed=5)
        rows = list(_written(demo).values_list("type", "status", "recorded_at", "data__changes__eta"))
        transaction.savepoint_rollback(sid)
        return rows

    assert choices() == choices()


def test_logs_still_fold_into_their_snapshots(demo: Organization) -> None:
    _simulate(demo, 150, faults=frozenset(fault_injector.KINDS))

    for row in (
        Shipment.objects.of_organization(demo.pk)
        .filter(updated_at__gt=NOW)
        .values(*representation.SHIPMENT_COLUMNS)
    ):
        snapshot: dict[str, Any] = {}
        for event in ShipmentEvent.objects.filter(shipment_id=row["id"]).order_by("seq"):
            snapshot |= event.data["changes"]
            snapshot |= {"seq": event.seq, "updatedAt": representation.instant(event.recorded_at)}
        assert snapshot == representation.snapshot(row)


@pytest.mark.parametrize(
    ("kind", "outcomes"), [("late", {"late"}), ("duplicate", {"applied"}), ("out_of_order", {"applied", "late"})]
)
def test_faults_are_observations_that_the_services_evaluate(
    demo: Organization, monkeypatch: pytest.MonkeyPatch, kind: str, outcomes: set[str]
) -> None:
    monkeypatch.setattr(fault_injector, "_FAULTS_IN_TEN", 10)
    monkeypatch.setattr(shipment_simulator, "_ROUND_OF_ACTIONS", ("stop",))

    _simulate(demo, 12, faults=frozenset({kind}))

    stored = Checkpoint.objects.filter(shipment__organization=demo)
    assert set(stored.values_list("outcome", flat=True)) == outcomes
    assert stored.count() == (12 if kind == "out_of_order" else 6)


def test_drivers_move_on_along_their_lanes(demo: Organization) -> None:
    simulator = DriverSimulator(demo.pk, random.Random(1))
    before = dict(DriverPosition.objects.values_list("pk", "latitude"))

    moved = simulator.move(5, now=NOW + TICK) + simulator.move(5, now=NOW + timedelta(seconds=50))

    after = dict(DriverPosition.objects.values_list("pk", "latitude"))
    assert moved == 10
    assert len([driver for driver in after if after[driver] != before.get(driver)]) >= 9


def test_the_command_reports_what_it_did(demo: Organization, settings: Settings) -> None:
    settings.DEMO = True
    output = StringIO()

    call_command("simulate", rate=1000, count=10, stdout=output)

    report = json.loads(output.getvalue())
    assert report["command"] == "simulate"
    assert report["events"] + report["skipped"] == 10
    assert report["byKind"]["watched"] == 5


def test_a_command_that_has_ended_is_no_crash_and_reports_no_more(demo: Organization, settings: Settings) -> None:
    settings.DEMO = True

    call_command("simulate", rate=1000, count=1, stdout=StringIO())

    assert "simulate" not in {each.role for each in registrations.living()}
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("metrics_")] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"faults": "late,rude"}, "rude is unknown"),
        ({"rate": 0}, "cannot be used"),
        ({"count": 1}, "run `manage.py seed_demo` first"),
    ],
)
def test_the_command_says_what_is_wrong(options: dict[str, Any], message: str, settings: Settings) -> None:
    settings.DEMO = True

    with pytest.raises(CommandError, match=message):
        call_command("simulate", **options)


def test_outside_a_demo_nothing_is_written(demo: Organization) -> None:
    events = ShipmentEvent.objects.count()

    with pytest.raises(CommandError, match="simulate is for a demo only and changed nothing: DEMO is off"):
        call_command("simulate", rate=1000, count=10)

    assert ShipmentEvent.objects.count() == events


def test_the_command_waits_for_a_database_and_exits_on_sigterm(tmp_path: Path) -> None:
    unavailable = {"DATABASE_URL": f"postgresql:///freight?host={tmp_path}", "REDIS_URL": "redis://127.0.0.1:1/0"}
    with subprocess.Popen(
        [sys.executable, "manage.py", "simulate"],
        cwd=django_settings.BASE_DIR,
        env=os.environ | unavailable | {"SECRET_KEY": "x" * 50, "FREIGHT_HOME": str(tmp_path), "DEMO": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())

        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        status = process.wait(20)

    assert line["waiting"] == 0.5
    assert status == 0
    assert time.monotonic() - started < 10
