"""Corrections: what a command or an observation did is undone by the fold, and stays in the history."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from shipments import services
from shipments.models import AuditEntry, Checkpoint, Shipment
from shipments.services.shipments.places import resolve_place
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of, fold, snapshot_of

pytestmark = pytest.mark.django_db


def hours(number: float) -> datetime:
    return NOW + timedelta(hours=number)


class Case:
    """A booked shipment with a driver; every act takes place an hour after the one before."""

    def __init__(self) -> None:
        self.by = factories.member(org := factories.organization(), "dispatcher")
        self.shipment = factories.booked_shipment(self.by, driver_id=factories.driver(org).pk, now=NOW)
        self.hour = 0

    def now(self) -> datetime:
        self.hour += 1
        return hours(self.hour)

    def advance(self, *states: str, **more: Any) -> None:
        for state in states:
            services.advance(by=self.by, now=self.now(), reference=self.shipment.reference, to=state, **more)

    def observe(self, state: str, **more: Any) -> Checkpoint:
        now = self.now()
        fields: dict[str, Any] = {"classifier": "ACT", "occurred_at": now, "source": "edi", "state": state} | more
        observation = services.Observation(**fields)
        return services.observe(by=self.by, now=now, reference=self.shipment.reference, observation=observation)[0]

    def void(self, seq: int, reason: str = "a slip") -> Shipment:
        return services.void_event(
            by=self.by, now=self.now(), reference=self.shipment.reference, seq=seq, reason=reason
        )

    @property
    def seq(self) -> int:
        return len(self.events)

    @property
    def events(self) -> list[dict[str, Any]]:
        return events_of(self.shipment)

    @property
    def snapshot(self) -> dict[str, Any]:
        return snapshot_of(self.shipment)


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_wrong_delivery_is_undone_and_stays_in_the_history(case: Case) -> None:
    case.advance("dispatched", "in_transit", "out_for_delivery", "delivered")

    case.void(case.seq, reason="wrong parcel")

    event = case.events[-1]
    assert (case.snapshot["status"], case.snapshot["deliveredAt"]) == ("out_for_delivery", None)
    assert [each["type"] for each in case.events] == ["created", *["transitioned"] * 4, "voided"]
    assert event["data"] == {
        "changes": {"status": "out_for_delivery", "deliveredAt": None},
        "note": "wrong parcel",
        "voided": {"seq": 5, "type": "transitioned", "status": "delivered"},
    }
    assert (event["status"], event["occurredAt"]) == ("out_for_delivery", "2026-03-02T16:00:00Z")


def test_a_wrong_cancellation_is_undone_and_the_shipment_goes_on(case: Case) -> None:
    case.advance("dispatched", "cancelled")

    case.void(3)
    case.advance("in_transit")

    assert case.snapshot["status"] == "in_transit"


def test_voided_commands_stay_voided_for_later_folds(case: Case) -> None:
    case.advance("dispatched", "in_transit", "delivered")
    case.void(4)

    case.observe("at_facility")
    case.advance("delivered")

    assert [each["status"] for each in case.events[4:]] == ["in_transit", "at_facility", "delivered"]
    assert case.snapshot["deliveredAt"] == "2026-03-02T18:00:00Z"


def test_the_audit_tells_what_was_voided_and_why(case: Case) -> None:
    case.advance("dispatched", "in_transit", "delivered")

    case.void(4, reason="wrong parcel")

    entry = AuditEntry.objects.get(organization_id=case.by.organization_id, action="void")
    assert entry.before == {"status": "delivered", "deliveredAt": "2026-03-02T15:00:00Z"}
    assert entry.after == {
        "status": "in_transit", "deliveredAt": None, "reason": "wrong parcel",
        "voided": {"seq": 4, "type": "transitioned", "status": "delivered"},
    }  # fmt: skip


def test_a_place_of_the_command_is_that_of_its_voiding(case: Case) -> None:
    place = resolve_place("NLRTM", organization_id=case.by.organization_id)
    case.advance("dispatched", location=place)

    case.void(2)

    assert case.events[-1]["location"]["locode"] == "NLRTM"


def test_what_was_folded_away_by_a_wrong_command_counts_again(case: Case) -> None:
    case.advance("dispatched", "in_transit", "delivered")
    scan = case.observe("at_facility")

    case.void(4)

    assert scan.outcome == "anomalous"
    assert case.snapshot["status"] == "at_facility"


def test_a_command_in_the_middle_takes_what_cannot_follow_without_it_along(case: Case) -> None:
    case.advance("dispatched", "in_transit", "returning", "returned")

    case.void(4)

    assert case.snapshot["status"] == "in_transit"


def test_an_event_of_an_observation_voids_its_checkpoint(case: Case) -> None:
    case.observe("in_transit")
    wrong = case.observe("delivered")

    case.void(wrong.seq, reason="wrong dock")

    stored = Checkpoint.objects.get(pk=wrong.pk)
    assert (case.snapshot["status"], stored.void_reason, stored.voided_at) == (
        "in_transit",
        "wrong dock",
        hours(case.hour),
    )
    assert case.events[-1]["data"]["voided"] == {"seq": 3, "type": "observed", "status": "delivered"}
    assert case.events[-1]["data"]["checkpoint"]["id"] == str(wrong.pk)


def test_an_observation_without_a_status_is_voided_with_none(case: Case) -> None:
    case.observe("", code="ZZ", code_system="edi214")

    case.void(2)

    assert case.events[-1]["data"]["voided"] == {"seq": 2, "type": "observed", "status": None}


@pytest.mark.parametrize("kind", ["command", "observation"])
def test_voiding_again_changes_nothing(case: Case, kind: str) -> None:
    if kind == "command":
        case.advance("dispatched")
    else:
        case.observe("in_transit")
    case.void(2)

    shipment = case.void(2, reason="once more")

    assert (shipment.seq, case.seq, shipment.status) == (3, 3, "booked")


@pytest.mark.parametrize(("seq", "kind"), [(1, "created"), (2, "flagged"), (4, "voided")])
def test_only_commands_and_observations_can_be_voided(case: Case, seq: int, kind: str) -> None:
    services.open_flag(by=case.by, now=case.now(), reference=case.shipment.reference, flag="damaged")
    case.advance("dispatched")
    case.void(3)

    with pytest.raises(services.NotVoidable, match=rf"{kind}; only .*transitioned.*observed"):
        case.void(seq)

    assert case.seq == 4


@pytest.mark.parametrize("seq", [0, 3, 2**63])
def test_an_event_that_is_not_there_cannot_be_voided(case: Case, seq: int) -> None:
    case.advance("dispatched")

    with pytest.raises(services.EventNotFound):
        case.void(seq)


def test_an_event_of_another_shipment_is_not_there(case: Case) -> None:
    other = factories.booked_shipment(case.by)
    services.advance(by=case.by, now=NOW, reference=other.reference, to="dispatched")

    with pytest.raises(services.EventNotFound):
        case.void(2)

    assert Shipment.objects.get(pk=other.pk).status == "dispatched"


def test_the_freight_is_with_its_driver_again(case: Case) -> None:
    case.advance("dispatched", "in_transit", "delivered")

    case.void(4)

    assert Shipment.objects.get(pk=case.shipment.pk).underway_since == hours(4)


def test_a_command_after_a_correction_takes_effect_after_it(case: Case) -> None:
    """The time of a command that no longer counts does not hold back those after it."""
    case.advance("dispatched", "in_transit")
    case.advance("delivered", occurred_at=hours(3))
    case.void(4)

    services.advance(
        by=case.by, now=hours(9), reference=case.shipment.reference, to="delivered", occurred_at=hours(2.5)
    )

    assert case.snapshot["deliveredAt"] == "2026-03-02T14:30:00Z"


def test_at_every_number_the_snapshot_and_the_changes_after_it_give_the_last_one(case: Case) -> None:
    snapshots = []

    def note() -> None:
        snapshots.append(case.snapshot)

    for act in (
        lambda: None, lambda: case.advance("dispatched"), lambda: case.advance("in_transit"),
        lambda: case.observe("delivered"), lambda: case.void(4), lambda: case.advance("delivered"),
        lambda: case.void(6), lambda: case.advance("lost"), lambda: case.void(8), lambda: case.void(3),
    ):  # fmt: skip
        act()
        note()

    events = case.events
    assert [each["seq"] for each in snapshots] == list(range(1, 11))
    for number, snapshot in enumerate(snapshots, 1):
        assert fold([{"data": {"changes": snapshot}, "seq": number, "recordedAt": snapshot["updatedAt"]},
                     *events[number:]]) == snapshots[-1]  # fmt: skip
    assert snapshots[-1]["status"] == "dispatched"
