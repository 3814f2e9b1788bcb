"""What carriers send: returns, corrections, histories sent again, estimates, times that are none, qualifiers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shipments import services
from shipments.auth.subjects import Forbidden
from shipments.models import Checkpoint
from shipments.services import SourceEventConflict
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of, fold, snapshot_of
from tests.shipments.services.observations.carrier_case import HOUR, CarrierCase

pytestmark = pytest.mark.django_db
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HAMBURG, ROTTERDAM = "DEHAM", "NLRTM"  # the shipment's destination and origin


@pytest.fixture
def case() -> CarrierCase:
    return CarrierCase()


@pytest.mark.parametrize(
    ("system", "feed"),
    [
        ("easypost", "in_transit return_to_sender in_transit out_for_delivery delivered"),
        ("edi214", "AF A7/BT X4 X6 D1"),
        ("dcsa", "LOAD A ARRI DROP"),
        ("aftership", "InTransit A OutForDelivery Delivered"),
        ("", "in_transit returning at_facility delivered"),
    ],
)
def test_a_delivery_on_the_way_back_is_the_return(case: CarrierCase, system: str, feed: str) -> None:
    outcomes = []
    for hours, code in enumerate(feed.split()):
        what = {"state": "returning"} if code == "A" else {"state": code}
        if system and code != "A":
            what = {"code": code, "code_system": system}
        outcomes.append(case.report(NOW - (9 - hours) * HOUR, **what).outcome)

    assert case.snapshot["status"] == "returned"
    assert set(outcomes) == {"applied"}


def test_the_same_event_with_other_content_supersedes_the_first(case: CarrierCase) -> None:
    wrong = case.report(NOW - 3 * HOUR, code="D1", code_system="edi214", source_event_id="214-1")

    right = case.report(NOW - 2 * HOUR, code="X4", code_system="edi214", source_event_id="214-1")

    wrong.refresh_from_db()
    assert (wrong.voided_at, wrong.void_reason, right.voided_at) == (NOW, "superseded by edi", None)
    assert case.snapshot["status"] == "at_facility"
    assert [event["type"] for event in case.events] == ["created", "observed", "voided", "observed"]


@pytest.mark.parametrize(
    "other",
    [
        {"at": NOW - 2 * HOUR},
        {"note": "at the gate"},
        {"location": HAMBURG},
        {"code": "X9"},
        {"classifier": "EST"},
    ],
)
def test_whatever_differs_is_a_correction(case: CarrierCase, other: dict[str, Any]) -> None:
    report: dict[str, Any] = {
        "at": NOW - 3 * HOUR,
        "code": "X4",
        "code_system": "edi214",
        "source_event_id": "1",
    }
    first = case.report(**report)

    again, corrected = case.report(**report), case.report(**(report | other))

    first.refresh_from_db()
    assert (again.pk, again.outcome) == (first.pk, "applied")
    assert corrected.pk != first.pk
    assert first.voided_at is not None


def test_what_was_superseded_and_arrives_again_is_a_duplicate(case: CarrierCase) -> None:
    first = case.report(NOW - 3 * HOUR, "in_transit", source_event_id="1")
    case.report(NOW - 2 * HOUR, "delivered", source_event_id="1")

    late_retry = case.report(NOW - 3 * HOUR, "in_transit", source_event_id="1")

    assert (late_retry.pk, late_retry.outcome) == (first.pk, "duplicate")
    assert (case.snapshot["status"], len(case.events)) == ("delivered", 4)


def test_a_source_that_may_not_correct_is_refused(case: CarrierCase) -> None:
    stored = case.report(NOW - 2 * HOUR, "in_transit", source_event_id="1")
    driver = factories.member(case.organization, "driver", driver=case.shipment.driver)

    with pytest.raises(SourceEventConflict, match=str(stored.pk)):
        case.report(NOW - HOUR, "delivered", source_event_id="1", by=driver)
    with pytest.raises(Forbidden):
        case.report(NOW - HOUR, "delivered", supersedes=stored.pk, by=driver)
    assert (case.snapshot["status"], len(case.events)) == ("in_transit", 2)


def test_the_whole_history_again_without_ids_adds_nothing(case: CarrierCase) -> None:
    place = services.resolve_place(HAMBURG, organization_id=case.organization.pk)
    feed = [("pre_transit", 9), ("in_transit", 8), ("in_transit", 7), ("out_for_delivery", 6), ("delivered", 5)]
    common: dict[str, Any] = {"code_system": "easypost", "location": place}
    reports = [common | {"at": NOW - hours * HOUR, "code": code} for code, hours in feed]

    outcomes = [case.report(**each).outcome for known in range(1, 6) for each in reports[:known]]

    assert case.snapshot["status"] == "delivered"
    assert len(case.events) == 1 + len(feed)
    assert outcomes.count("duplicate") == 10


@pytest.mark.parametrize(
    "other", [{"source": "edi2"}, {"code": "X9"}, {"at": NOW - 3 * HOUR}, {"location": ROTTERDAM}]
)
def test_another_source_code_time_or_place_is_another_observation(case: CarrierCase, other: dict[str, Any]) -> None:
    report: dict[str, Any] = {"at": NOW - 2 * HOUR, "code": "X4", "code_system": "edi214", "location": HAMBURG}
    first = case.report(**report)

    second = case.report(**(report | other))

    assert second.pk != first.pk
    assert second.outcome != "duplicate"


def test_a_voided_report_that_is_sent_again_stays_voided(case: CarrierCase) -> None:
    wrong = case.report(NOW - HOUR, "delivered")
    case.void(wrong)

    again = case.report(NOW - HOUR, "delivered")

    assert (again.pk, again.outcome) == (wrong.pk, "duplicate")
    assert case.snapshot["status"] == "booked"


def test_superseding_twice_with_the_same_report_is_once(case: CarrierCase) -> None:
    wrong = case.report(NOW - HOUR, "delivered")
    right = case.report(NOW - HOUR, "delivered", note="to the neighbour", supersedes=wrong.pk)

    again = case.report(NOW - HOUR, "delivered", note="to the neighbour", supersedes=wrong.pk)

    assert right.pk != wrong.pk
    assert (again.pk, again.outcome, len(case.events)) == (right.pk, "duplicate", 4)


@pytest.mark.parametrize("classifier", ["ACT", "EST"])
@pytest.mark.parametrize("code", ["AG", "X2", "B6", "C1"])
@pytest.mark.parametrize("hours", [72, -1])
def test_a_code_that_is_an_estimate_moves_the_eta_whatever_its_time(
    case: CarrierCase, classifier: str, code: str, hours: int
) -> None:
    told = case.report(NOW + hours * HOUR, code=code, code_system="edi214", classifier=classifier)

    assert told.outcome == "applied"
    assert (case.snapshot["eta"], case.snapshot["status"]) == (
        (NOW + hours * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "booked",
    )


@pytest.mark.parametrize("report", [{"code": "D1", "code_system": "edi214"}, {"state": "delivered"}])
def test_a_delivery_that_lies_ahead_is_refused(case: CarrierCase, report: dict[str, Any]) -> None:
    with pytest.raises(services.InvalidArgument):
        case.report(NOW + HOUR, **report)


def test_an_estimate_after_delivery_moves_nothing(case: CarrierCase) -> None:
    before = case.snapshot["eta"]
    case.report(NOW - HOUR, "delivered")

    told = case.report(NOW + 9 * HOUR, code="AG", code_system="edi214")

    assert (told.outcome, case.snapshot["eta"]) == ("late", before)


@pytest.mark.parametrize(
    ("report", "moves"),
    [
        ({"code": "ARRI", "code_system": "dcsa", "location": HAMBURG}, True),
        ({"code": "ARRI", "code_system": "dcsa", "location": ROTTERDAM}, False),
        ({"code": "ARRI", "code_system": "dcsa"}, False),
        ({"code": "DISC", "code_system": "dcsa", "location": HAMBURG}, False),
        ({"code": "X4", "code_system": "edi214", "location": HAMBURG}, True),
        ({"state": "at_facility", "location": HAMBURG}, True),
        ({"state": "at_delivery"}, True),
        ({"state": "at_pickup", "location": HAMBURG}, False),
    ],
)
def test_the_estimated_arrival_at_the_destination_is_the_eta(
    case: CarrierCase, report: dict[str, Any], moves: bool
) -> None:
    before = case.snapshot["eta"]

    told = case.report(NOW + 80 * HOUR, classifier="EST", **report)

    assert told.outcome == ("applied" if moves else "late")
    assert (case.snapshot["eta"] != before) is moves


@pytest.mark.parametrize("code", ["delivered", "in_transit"])
@pytest.mark.parametrize("never", [EPOCH, datetime(2000, 1, 1, tzinfo=UTC), NOW - timedelta(days=181)])
def test_a_time_long_before_the_booking_never_counts(case: CarrierCase, code: str, never: datetime) -> None:
    told = case.report(never, code=code, code_system="easypost")

    later = [
        case.report(NOW - hours * HOUR, code=each, code_system="easypost").outcome
        for each, hours in (("in_transit", 40), ("out_for_delivery", 24), ("delivered", 20))
    ]

    assert told.outcome == "anomalous"
    assert later == ["applied", "applied", "applied"]
    assert (case.snapshot["status"], case.snapshot["deliveredAt"]) == ("delivered", "2026-03-01T16:00:00Z")


@pytest.mark.parametrize("report", [{"code": "A9", "code_system": "edi214"}, {"classifier": "EST"}])
def test_a_time_that_is_none_opens_no_flag_and_moves_no_eta(case: CarrierCase, report: dict[str, Any]) -> None:
    before = case.snapshot

    told = case.report(EPOCH, **report)

    assert told.outcome == "anomalous"
    assert (case.snapshot["flags"], case.snapshot["eta"]) == ([], before["eta"])


GATES = ["GTOT/EMPTY", "GTIN/LADEN", "LOAD", "DEPA", "ARRI", "DISC", "GTOT/LADEN", "GTIN/EMPTY"]
STATES = ["dispatched", "at_facility", "in_transit", "in_transit", "at_facility", "at_facility", "out_for_delivery"]


@pytest.mark.parametrize(("place", "end"), [(None, "out_for_delivery"), (HAMBURG, "delivered")])
def test_an_empty_container_that_goes_back_was_emptied_at_the_destination(
    case: CarrierCase, place: str | None, end: str
) -> None:
    seen = []
    for hours, code in enumerate(GATES):
        gate = place if code == "GTOT/LADEN" else None
        case.report(NOW - (9 - hours) * HOUR, code=code, code_system="dcsa", location=gate)
        seen.append(case.snapshot["status"])

    assert seen == [*STATES, end]


def test_the_order_of_the_gates_messages_does_not_matter(case: CarrierCase) -> None:
    empty = case.report(NOW - HOUR, code="GTIN/EMPTY", code_system="dcsa")
    laden = case.report(NOW - 2 * HOUR, code="GTOT/LADEN", code_system="dcsa", location=HAMBURG)

    assert (empty.outcome, laden.outcome) == ("late", "applied")
    assert (case.snapshot["status"], case.snapshot["deliveredAt"]) == ("delivered", "2026-03-02T11:00:00Z")


@pytest.mark.parametrize(("system", "code"), [("dcsa", "GTOT/LADEN"), ("edi214", "OA")])
@pytest.mark.parametrize(
    ("place", "status"), [(HAMBURG, "out_for_delivery"), (None, "out_for_delivery"), (ROTTERDAM, "in_transit")]
)
def test_out_of_a_gate_elsewhere_is_in_transit(
    case: CarrierCase, system: str, code: str, place: str | None, status: str
) -> None:
    case.report(NOW - HOUR, code=code, code_system=system, location=place)

    assert case.snapshot["status"] == status


@pytest.mark.parametrize("code", ["GTIN", "GTOT"])
def test_a_gate_without_its_qualifier_is_not_guessed(case: CarrierCase, code: str) -> None:
    case.report(NOW - 2 * HOUR, code="GTOT/LADEN", code_system="dcsa")

    told = case.report(NOW - HOUR, code=code, code_system="dcsa")

    assert (told.outcome, case.snapshot["status"]) == ("anomalous", "out_for_delivery")


def test_a_pickup_appointment_that_lies_ahead_moves_nothing(case: CarrierCase) -> None:
    ahead = case.report(NOW + 5 * HOUR, code="AA", code_system="edi214")
    assert (ahead.outcome, ahead.state, case.snapshot["status"]) == ("late", "", "booked")

    case.report(NOW - HOUR, code="AA", code_system="edi214")

    assert case.snapshot["status"] == "dispatched"


@pytest.mark.parametrize(
    ("reports", "outcomes"),
    [
        # Before the booking, and therefore before every command: each moved the status when it came.
        ([("in_transit", -9), ("in_transit", -8), ("delivered", -7)], ["applied", "applied", "applied"]),
        ([("delivered", -1), ("at_facility", -2)], ["applied", "late"]),
        ([("delivered", -2), ("in_transit", -1)], ["applied", "anomalous"]),
        # A return that becomes known after the delivery makes of this one the end of the return.
        ([("delivered", -1), ("returning", -2)], ["applied", "applied"]),
    ],
)
def test_applied_is_what_counted(case: CarrierCase, reports: list[tuple[str, int]], outcomes: list[str]) -> None:
    assert [case.report(NOW + hours * HOUR, state).outcome for state, hours in reports] == outcomes


def test_a_remark_is_late_since_it_moves_nothing(case: CarrierCase) -> None:
    assert case.report(NOW - HOUR, code="AI", code_system="edi214").outcome == Checkpoint.Outcome.LATE


def test_the_log_with_corrections_folds_to_the_snapshot_at_every_event(case: CarrierCase) -> None:
    case.report(NOW - 3 * HOUR, code="K1", code_system="edi214", source_event_id="1")
    case.report(NOW - 2 * HOUR, code="D1", code_system="edi214", source_event_id="1")
    case.report(NOW + 9 * HOUR, classifier="EST")
    case.report(NOW - 2 * HOUR, code="A7/BT", code_system="edi214", source_event_id="1")

    assert fold(events_of(case.shipment)) == snapshot_of(case.shipment)
    assert case.snapshot["status"] == "returning"
