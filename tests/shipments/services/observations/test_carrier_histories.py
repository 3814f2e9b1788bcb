"""Any order and repetition of a carrier's history gives one shipment, through the services and the database."""

import random
from datetime import timedelta
from typing import Any

import pytest

from shipments.domain.status_codes import CODE_SYSTEMS
from shipments.models import Checkpoint, Shipment
from tests.factories import NOW
from tests.shipments.event_log import fold
from tests.shipments.services.observations.carrier_case import CarrierCase

pytestmark = pytest.mark.django_db
PLACES = [None, None, "NLRTM", "DEHAM"]
# The ETA is the last estimate that arrived, since no message says when it was made: no part of this promise.
ORDERLESS = ("status", "deliveredAt", "flags")


def history(chance: random.Random) -> list[dict[str, Any]]:
    """Make up what a carrier tells: codes of all lists at times from a year before the booking until now."""
    reports = []
    for number in range(chance.randint(4, 10)):
        system = chance.choice(list(CODE_SYSTEMS))
        hours = 8760 if chance.random() < 0.1 else chance.randint(0, 30)
        reports.append(
            {
                "at": NOW - timedelta(hours=hours),
                "code": chance.choice(list(CODE_SYSTEMS[system])),
                "code_system": system,
                "location": chance.choice(PLACES),
                "source": chance.choice(["A", "B"]),
                "source_event_id": f"{number}" if chance.random() < 0.5 else None,
            }
        )
    return reports


def shipment_after(reports: list[dict[str, Any]]) -> tuple[Any, ...]:
    """Report all of it about a new shipment, and return what must not depend on the order."""
    case = CarrierCase()
    for report in reports:
        case.report(**report)
    assert fold(case.events) == case.snapshot
    effective_at = Shipment.objects.get(pk=case.shipment.pk).effective_at
    stored = Checkpoint.objects.filter(shipment=case.shipment).values_list("code", "occurred_at", "state")
    return *(case.snapshot[name] for name in ORDERLESS), effective_at, sorted(stored)


@pytest.mark.parametrize("seed", range(16))
def test_any_order_and_repetition_gives_one_shipment(seed: int) -> None:
    chance = random.Random(seed)
    reports = history(chance)
    shuffled = chance.sample(reports, len(reports))
    repeated = reports + chance.choices(reports, k=len(reports))
    chance.shuffle(repeated)

    once = shipment_after(reports)

    assert shipment_after(shuffled) == once
    assert shipment_after(repeated) == once
    assert shipment_after(reports + reports) == once
