"""The relay killed at random while events are written: nothing numbered twice, nothing left out."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.db.models import Count, Max

from shipments import services
from shipments.auth import subjects
from shipments.auth.subjects import Subject
from shipments.models import FeedEntry, Organization, ShipmentEvent, UnnumberedEvent

_ROOT: Final = Path(__file__).resolve().parents[2]
_SHIPMENTS: Final = 8
_SETTLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the drill found. `lost`: committed, not in the feed; `late_s`: from the last write to its number."""

    kills: int
    written: int
    numbered: int
    lost: int
    doubled: int
    gaps: int
    disordered: int
    late_s: float

    @property
    def holds(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.doubled or self.gaps or self.disordered)

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "relay", "holds": self.holds} | asdict(self)


def run(*, kills: int, seed: int, environment: dict[str, str] | None = None) -> Evidence:
    """Write in an organisation of its own while it starts and kills relays, and then check the feed.

    Only processes that it started are killed. It is as strong as its relays are alone: stop others first.
    """
    rng = random.Random(seed)
    by, references = _create_shipments()
    process = _start(environment)
    try:
        for round_number in range(kills):
            _write(by, references, rng, until=time.monotonic() + rng.uniform(0.3, 2.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            _write(by, references, rng, until=time.monotonic() + rng.uniform(0, 0.3), start=round_number)
            process = _start(environment)
        ended_at = time.monotonic()
        _wait(lambda: not UnnumberedEvent.objects.filter(organization_id=by.organization_id).exists())
        late_seconds = time.monotonic() - ended_at
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    return _check(by.organization_id, kills=kills, late=late_seconds)


def _create_shipments() -> tuple[Subject, list[str]]:
    organization = Organization.objects.create(
        name="Drill", slug=f"drill-{uuid.uuid4().hex[:12]}", created_at=datetime.now(UTC)
    )
    by = subjects.system_subject(organization.pk, name="drill")
    shipments = [
        services.book(by=by, now=datetime.now(UTC), origin="NLRTM", destination="DEHAM", status="booked")
        for _ in range(_SHIPMENTS)
    ]
    return by, [shipment.reference for shipment in shipments]


def _start(environment: dict[str, str] | None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "relay"],
        cwd=_ROOT,
        env=os.environ | (environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _write(by: Subject, references: list[str], rng: random.Random, *, until: float, start: int = 0) -> None:
    pieces = start
    while time.monotonic() < until:
        pieces += 1
        services.amend(
            by=by, now=datetime.now(UTC), reference=rng.choice(references),
            changes={"pieces": pieces, "notes": uuid.uuid4().hex},
        )  # fmt: skip


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)


def _check(organization_id: uuid.UUID, *, kills: int, late: float) -> Evidence:
    feed = FeedEntry.objects.filter(organization_id=organization_id)
    found = list(feed.order_by("position").values_list("position", "event__shipment_id", "event__seq"))
    disordered, heads = 0, dict[uuid.UUID, int]()
    for _, shipment_id, seq in found:
        disordered += seq != heads.get(shipment_id, 0) + 1
        heads[shipment_id] = seq
    written = ShipmentEvent.objects.filter(organization_id=organization_id).count()
    newest = feed.aggregate(newest=Max("position"))["newest"] or 0
    doubled = feed.values("event_id").annotate(times=Count("position")).filter(times__gt=1).count()
    return Evidence(
        kills=kills, written=written, numbered=len(found), lost=written - len(found), doubled=doubled,
        gaps=newest - len(found), disordered=disordered, late_s=round(late, 2),
    )  # fmt: skip
