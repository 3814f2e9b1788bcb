"""Inject the faults of real carrier feeds: late, duplicate and out-of-order observations."""

import random
from datetime import datetime, timedelta
from typing import Final

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import Shipment

KINDS: Final = ("late", "duplicate", "out_of_order")
_SOURCE: Final = "simulated feed"
# Of ten moves this many are turned into a fault.
_FAULTS_IN_TEN: Final = 4


class FaultInjector:
    """Turns some moves between road and facility into faulty observations."""

    def __init__(self, kinds: frozenset[str], *, by: Subject, rng: random.Random) -> None:
        self._kinds = sorted(kinds)
        self._by = by
        self._rng = rng

    def maybe_inject(self, shipment: Shipment, to: str, now: datetime) -> bool:
        """Report the move to `to` with a fault in four of ten calls; return whether it did."""
        if not self._kinds or self._rng.randrange(10) >= _FAULTS_IN_TEN:
            return False
        kind = self._rng.choice(self._kinds)
        if kind == "late":
            # Earlier than the newest applied event.
            hours = timedelta(hours=self._rng.randrange(1, 6))
            self._report(shipment, to, now, ago=now - shipment.effective_at + hours)
        elif kind == "duplicate":
            self._report(shipment, to, now, ago=timedelta(seconds=5), times=2)
        else:
            # The second report is of the earlier event.
            self._report(shipment, to, now, ago=timedelta(seconds=5))
            self._report(shipment, shipment.status, now, ago=timedelta(minutes=30))
        return True

    def _report(self, shipment: Shipment, state: str, now: datetime, *, ago: timedelta, times: int = 1) -> None:
        observation = services.Observation(
            classifier="ACT",
            state=state,
            occurred_at=now - ago,
            source=_SOURCE,
            source_event_id=f"{self._rng.getrandbits(64):016x}",
        )
        for _ in range(times):
            services.observe(by=self._by, now=now, reference=shipment.reference, observation=observation)
