"""Automatic flags: opened by the clock, cleared by events, without flapping."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from shipments import services
from shipments.models import Shipment
from shipments.services.shipments import automatic_flags
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of

pytestmark = pytest.mark.django_db
MARGIN, PERIOD = settings.DELAYED_AFTER, settings.STALE_AFTER
SECOND = timedelta(seconds=1)


class Case:
    def __init__(self, **fields: Any) -> None:
        self.by = factories.member(org := factories.organization(), "dispatcher")
        self.shipment = factories.booked_shipment(self.by, driver_id=factories.driver(org).pk, **fields)

    def flags_at(self, now: datetime) -> list[str]:
        while automatic_flags.evaluate_batch(now=now):
            pass
        return [each["flag"] for each in Shipment.objects.get(pk=self.shipment.pk).flags]

    def amend(self, **changes: Any) -> None:
        services.amend(by=self.by, now=NOW, reference=self.shipment.reference, changes=changes)

    def advance(self, to: str, now: datetime) -> None:
        services.advance(by=self.by, now=now, reference=self.shipment.reference, to=to)


def test_delayed_opens_once_the_margin_has_passed() -> None:
    case = Case(planned_delivery_at=NOW)

    assert case.flags_at(NOW + MARGIN) == []
    assert case.flags_at(NOW + MARGIN + SECOND) == ["delayed"]
    assert case.flags_at(NOW + MARGIN + 2 * SECOND) == ["delayed"]
    assert [event["type"] for event in events_of(case.shipment)] == ["created", "flagged"]


def test_a_plan_moved_a_little_does_not_make_delayed_flap() -> None:
    case = Case(planned_delivery_at=NOW)
    now = NOW + MARGIN + SECOND
    case.flags_at(now)

    case.amend(planned_delivery_at=now - SECOND)
    assert case.flags_at(now) == ["delayed"]
    case.amend(planned_delivery_at=now + SECOND)
    assert case.flags_at(now) == []


def test_delivery_clears_delayed() -> None:
    case = Case(planned_delivery_at=NOW)
    now = NOW + MARGIN + SECOND
    case.flags_at(now)
    case.advance("dispatched", now)
    case.advance("in_transit", now)
    case.advance("delivered", now)

    assert case.flags_at(now) == []


def test_a_flag_opened_by_a_user_stays_open() -> None:
    case = Case(planned_delivery_at=NOW + timedelta(days=9))
    services.open_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="delayed", reason="storm")

    assert case.flags_at(NOW) == ["delayed"]


def test_stale_opens_after_silence_and_clears_after_an_event() -> None:
    case = Case()
    case.advance("dispatched", NOW)
    case.advance("in_transit", NOW)

    assert case.flags_at(NOW + PERIOD) == []
    assert case.flags_at(NOW + PERIOD + SECOND) == ["stale"]
    case.advance("at_facility", NOW + PERIOD + 2 * SECOND)
    assert case.flags_at(NOW + PERIOD + 3 * SECOND) == []


def test_a_late_observation_does_not_clear_stale() -> None:
    case = Case()
    case.advance("dispatched", NOW)
    case.advance("in_transit", NOW)
    later = NOW + PERIOD + SECOND
    case.flags_at(later)

    services.observe(
        by=case.by, now=later, reference=case.shipment.reference,
        observation=services.Observation(
            classifier="ACT", occurred_at=later - PERIOD * 0.6, source="carrier", state="at_facility"
        ),
    )  # fmt: skip

    assert case.flags_at(later) == ["stale"]


@pytest.mark.parametrize("status", ["draft", "booked"])
def test_a_shipment_that_has_not_started_is_not_stale(status: str) -> None:
    case = Case(status=status)

    assert case.flags_at(NOW + 3 * PERIOD) == []
