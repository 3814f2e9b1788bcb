"""Observations: always stored, evaluated by the fold, corrected by voiding."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from shipments import services
from shipments.models import AuditEntry, Checkpoint, Shipment
from shipments.services import Observation
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of, fold, snapshot_of

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


class Case:
    """A booked shipment with a driver, and a feed that reports about it."""

    def __init__(self) -> None:
        self.by = factories.member(org := factories.organization(), "dispatcher")
        self.shipment: Shipment = factories.booked_shipment(
            self.by, driver_id=factories.driver(org).pk, now=NOW - 10 * HOUR, planned_delivery_at=NOW + 50 * HOUR
        )

    def report(self, state: str = "", at: datetime = NOW, **more: Any) -> Checkpoint:
        supersedes = more.pop("supersedes", None)
        fields: dict[str, Any] = {"classifier": "ACT", "occurred_at": at, "source": "edi", "state": state}
        observation = Observation(**(fields | more))
        return services.observe(
            by=self.by, now=NOW, reference=self.shipment.reference, observation=observation, supersedes=supersedes
        )[0]

    def void(self, checkpoint: Checkpoint, reason: str = "wrong truck") -> None:
        services.void_checkpoint(
            by=self.by, now=NOW, reference=self.shipment.reference, checkpoint_id=checkpoint.pk, reason=reason
        )

    @property
    def status(self) -> str:
        return str(Shipment.objects.get(pk=self.shipment.pk).status)


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_feed_may_skip_steps(case: Case) -> None:
    checkpoint = case.report("in_transit")

    assert checkpoint.outcome == "applied"
    assert case.status == "in_transit"


def test_a_late_event_does_not_undeliver(case: Case) -> None:
    case.report("delivered", NOW - HOUR)

    late = case.report("at_facility", NOW - 2 * HOUR)

    assert late.outcome == "late"
    assert case.status == "delivered"


def test_a_scan_after_delivery_is_anomalous_and_kept(case: Case) -> None:
    case.report("delivered", NOW - HOUR)

    scan = case.report("in_transit", NOW)

    assert scan.outcome == "anomalous"
    assert case.status == "delivered"
    assert [event["type"] for event in events_of(case.shipment)] == ["created", "observed", "observed"]


def test_the_same_source_event_is_stored_once(case: Case) -> None:
    one = case.report("in_transit", source_event_id="214-7")
    other = case.report("in_transit", source_event_id="214-7")

    assert one.pk == other.pk
    assert len(events_of(case.shipment)) == 2


def test_every_stored_observation_writes_exactly_one_event_and_audit_row(case: Case) -> None:
    case.report("in_transit")
    case.report(classifier="EST", at=NOW + 60 * HOUR)
    case.report(code="ZZ", code_system="edi214")

    assert [event["seq"] for event in events_of(case.shipment)] == [1, 2, 3, 4]
    assert AuditEntry.objects.filter(organization_id=case.by.organization_id, action="observe").count() == 3


def test_an_estimate_moves_the_eta_only(case: Case) -> None:
    estimate = case.report(classifier="EST", at=NOW + 60 * HOUR)

    snapshot = snapshot_of(case.shipment)
    assert estimate.outcome == "applied"
    assert (snapshot["status"], snapshot["eta"]) == ("booked", "2026-03-05T00:00:00Z")


def test_an_estimate_of_an_arrival_on_the_way_moves_nothing(case: Case) -> None:
    case.report("at_facility", NOW + 5 * HOUR, classifier="EST")

    assert snapshot_of(case.shipment)["eta"] == "2026-03-04T14:00:00Z"


def test_a_plan_does_not_displace_an_estimate(case: Case) -> None:
    case.report(classifier="EST", at=NOW + 60 * HOUR)

    plan = case.report(classifier="PLN", at=NOW + 40 * HOUR)

    assert plan.outcome == "late"
    assert snapshot_of(case.shipment)["eta"] == "2026-03-05T00:00:00Z"


def test_a_voided_estimate_gives_way_to_the_one_before(case: Case) -> None:
    case.report(classifier="EST", at=NOW + 60 * HOUR)
    wrong = case.report(classifier="EST", at=NOW + 90 * HOUR)

    case.void(wrong)

    assert snapshot_of(case.shipment)["eta"] == "2026-03-05T00:00:00Z"


def test_an_unknown_code_is_stored_verbatim_and_changes_nothing(case: Case) -> None:
    checkpoint = case.report(code="ZZ", code_system="edi214")

    assert (checkpoint.code, checkpoint.state, checkpoint.outcome) == ("ZZ", "", "anomalous")
    assert case.status == "booked"


def test_a_code_is_translated_by_its_table(case: Case) -> None:
    case.report(code="X3", code_system="edi214")

    assert case.status == "at_pickup"


def test_a_code_may_open_and_clear_a_flag(case: Case) -> None:
    case.report(code="K1", code_system="edi214")
    held = snapshot_of(case.shipment)["flags"]
    case.report(code="K2", code_system="edi214")

    assert [(flag["flag"], flag["reason"]) for flag in held] == [("customs_hold", "edi K1")]
    assert snapshot_of(case.shipment)["flags"] == []


def test_voiding_undoes_the_status_and_not_the_history(case: Case) -> None:
    case.report("in_transit", NOW - 3 * HOUR)
    wrong = case.report("delivered", NOW - 2 * HOUR)

    case.void(wrong)

    snapshot = snapshot_of(case.shipment)
    assert (snapshot["status"], snapshot["deliveredAt"]) == ("in_transit", None)
    assert [event["type"] for event in events_of(case.shipment)] == ["created", "observed", "observed", "voided"]
    assert events_of(case.shipment)[-1]["data"]["note"] == "wrong truck"


def test_voiding_again_changes_nothing(case: Case) -> None:
    wrong = case.report("delivered")
    case.void(wrong)

    case.void(wrong, "once more")

    assert len(events_of(case.shipment)) == 3


def test_void_then_observe_equals_never_happened_for_the_status(case: Case) -> None:
    case.report("in_transit", NOW - 3 * HOUR)
    before = snapshot_of(case.shipment)
    case.void(case.report("delivered", NOW - 2 * HOUR))
    case.void(case.report("returned", NOW - HOUR))

    after = snapshot_of(case.shipment)

    assert after | {"seq": 0, "updatedAt": ""} == before | {"seq": 0, "updatedAt": ""}


def test_superseding_voids_and_stores_in_one_step(case: Case) -> None:
    wrong = case.report("delivered", NOW - 2 * HOUR)

    case.report("delivery_attempted", NOW - 2 * HOUR, supersedes=wrong.pk)

    assert case.status == "delivery_attempted"
    assert [event["type"] for event in events_of(case.shipment)] == ["created", "observed", "voided", "observed"]


def test_a_command_stands_when_older_evidence_arrives(case: Case) -> None:
    services.advance(by=case.by, now=NOW, reference=case.shipment.reference, to="dispatched")
    services.advance(by=case.by, now=NOW, reference=case.shipment.reference, to="in_transit")
    services.advance(by=case.by, now=NOW, reference=case.shipment.reference, to="at_facility")
    services.advance(by=case.by, now=NOW, reference=case.shipment.reference, to="in_transit")

    late = case.report("at_pickup", NOW - HOUR)

    assert late.outcome == "late"
    assert case.status == "in_transit"


def test_any_order_of_arrival_gives_the_same_shipment() -> None:
    reports = [("in_transit", -5), ("at_facility", -4), ("out_for_delivery", -3), ("delivered", -2)]
    ends = set()

    for order in itertools.permutations(reports):
        case = Case()
        for state, hours in order:
            case.report(state, NOW + hours * HOUR)
        snapshot = snapshot_of(case.shipment)
        ends.add((snapshot["status"], snapshot["deliveredAt"]))

    assert ends == {("delivered", "2026-03-02T10:00:00Z")}


def test_the_log_with_evidence_folds_to_the_snapshot_at_every_step(case: Case) -> None:
    snapshots = [snapshot_of(case.shipment)]
    steps: list[Any] = [
        lambda: case.report("in_transit", NOW - 4 * HOUR),
        lambda: case.report(classifier="EST", at=NOW + 9 * HOUR),
        lambda: case.report(code="A9", code_system="edi214"),
        lambda: case.report("delivered", NOW - HOUR),
        lambda: case.void(Checkpoint.objects.get(shipment=case.shipment, state="delivered", classifier="ACT")),
        lambda: services.open_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="on_hold"),
        lambda: services.clear_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="damaged"),
    ]
    for step in steps:
        step()
        snapshots.append(snapshot_of(case.shipment))

    events = events_of(case.shipment)

    assert [fold(events[: n + 1]) for n in range(len(events))] == snapshots


@pytest.mark.parametrize(
    ("report", "field"),
    [
        ({"state": "flying"}, "status"),
        ({"state": ""}, "status"),
        ({"state": "delivered", "at": NOW + 2 * HOUR}, "occurredAt"),
    ],
)
def test_what_cannot_be_an_observation_is_refused(case: Case, report: dict[str, Any], field: str) -> None:
    with pytest.raises(services.InvalidArgument) as refusal:
        case.report(**report)

    assert refusal.value.field == field
    assert len(events_of(case.shipment)) == 1


def test_flags_open_once_and_clear_once(case: Case) -> None:
    for _ in range(2):
        services.open_flag(
            by=case.by, now=NOW, reference=case.shipment.reference, flag="damaged", reason="wet carton"
        )
    for _ in range(2):
        services.clear_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="damaged")

    assert [event["type"] for event in events_of(case.shipment)] == ["created", "flagged", "unflagged"]


def test_a_hold_blocks_commands_and_never_evidence(case: Case) -> None:
    services.open_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="on_hold")

    case.report("in_transit")

    assert case.status == "in_transit"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE shipments_checkpoint SET state = 'lost' WHERE id = %s",
        "UPDATE shipments_checkpoint SET voided_at = NULL WHERE id = %s",
        "DELETE FROM shipments_checkpoint WHERE id = %s",
    ],
)
def test_the_database_refuses_to_rewrite_evidence(case: Case, sql: str) -> None:
    wrong = case.report("delivered")
    case.void(wrong)

    with pytest.raises(DatabaseError, match="checkpoint"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, [wrong.pk])
