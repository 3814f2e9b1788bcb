"""The relay killed at random while events are written: each is numbered once, and none is left out."""

import random
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Count, Max

from shipments import services
from shipments.auth import subjects
from shipments.auth.subjects import Subject
from shipments.models import FeedEntry, ShipmentEvent, UnnumberedEvent
from tests.drills.harness import fixtures
from tests.drills.harness.environment import require_own_database
from tests.drills.harness.presets import settings_stage
from tests.drills.harness.process import relay
from tests.drills.harness.waiting import comes_true

_SHIPMENTS: Final = 8
_SETTLE_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of the drill.

    `lost`: committed, not in the feed. `late_s`: from the last write to its number. `last_status`: the exit status
    of the last relay, which is asked to end by SIGTERM.
    """

    kills: int
    written: int
    numbered: int
    lost: int
    doubled: int
    gaps: int
    disordered: int
    late_s: float
    last_status: int | None

    @property
    def holds(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.doubled or self.gaps or self.disordered or self.last_status)

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "relay", "holds": self.holds} | asdict(self)


def run(*, kills: int, seed: int, environment: dict[str, str] | None = None) -> Evidence:
    """Write in an organisation of its own while it starts and kills relays, and then check the feed.

    Only processes that it started are killed.
    """
    require_own_database()
    rng = random.Random(seed)
    by, references = _create_shipments()
    # Cold, so that a kill strikes the start of a relay as well as its work.
    with settings_stage("relay", relay(), fork=False, **(environment or {})) as stage:
        for round_number in range(kills):
            _write(by, references, rng, until=time.monotonic() + rng.uniform(0.3, 2.5))
            stage["relay"].kill()
            _write(by, references, rng, until=time.monotonic() + rng.uniform(0, 0.3), start=round_number)
            stage["relay"].launch()
        ended_at = time.monotonic()
        comes_true(_SETTLE_SECONDS, lambda: not _unnumbered(by.organization_id))
        late_seconds = time.monotonic() - ended_at
        last_status = stage["relay"].stop(_STOP_SECONDS)
    return _check(by.organization_id, kills=kills, late=late_seconds, last_status=last_status)


def _create_shipments() -> tuple[Subject, list[str]]:
    fixtures.locations()
    organization = fixtures.organization()
    by = subjects.system_subject(organization.pk, name="drill")
    shipments = [
        services.book(by=by, now=datetime.now(UTC), origin="NLRTM", destination="DEHAM", status="booked")
        for _ in range(_SHIPMENTS)
    ]
    return by, [shipment.reference for shipment in shipments]


def _write(by: Subject, references: list[str], rng: random.Random, *, until: float, start: int = 0) -> None:
    pieces = start
    while time.monotonic() < until:
        pieces += 1
        services.amend(
            by=by, now=datetime.now(UTC), reference=rng.choice(references),
            changes={"pieces": pieces, "notes": uuid.uuid4().hex},
        )  # fmt: skip


def _unnumbered(organization_id: uuid.UUID) -> bool:
    return UnnumberedEvent.objects.filter(organization_id=organization_id).exists()


def _check(organization_id: uuid.UUID, *, kills: int, late: float, last_status: int | None) -> Evidence:
    feed = FeedEntry.objects.filter(organization_id=organization_id)
    entries = list(feed.order_by("position").values_list("position", "event__shipment_id", "event__seq"))
    disordered, heads = 0, dict[uuid.UUID, int]()
    for _, shipment_id, seq in entries:
        disordered += seq != heads.get(shipment_id, 0) + 1
        heads[shipment_id] = seq
    written = ShipmentEvent.objects.filter(organization_id=organization_id).count()
    newest = feed.aggregate(newest=Max("position"))["newest"] or 0
    doubled = feed.values("event_id").annotate(times=Count("position")).filter(times__gt=1).count()
    return Evidence(
        kills=kills, written=written, numbered=len(entries), lost=written - len(entries), doubled=doubled,
        gaps=newest - len(entries), disordered=disordered, late_s=round(late, 2),
        last_status=last_status,
    )  # fmt: skip
