"""Flags that carriers' codes open and clear, beside those of people."""

from datetime import timedelta

import pytest

from shipments import services
from tests.factories import NOW
from tests.shipments.event_log import fold
from tests.shipments.services.observations.carrier_case import HOUR, CarrierCase

pytestmark = pytest.mark.django_db


@pytest.fixture
def case() -> CarrierCase:
    return CarrierCase()


def test_a_flag_of_a_carrier_is_no_estimate(case: CarrierCase) -> None:
    case.report(NOW + 20 * HOUR, code="AG", code_system="edi214")
    wrong = case.report(NOW + 30 * HOUR, code="AG", code_system="edi214")
    case.report(NOW - HOUR, code="SD", code_system="edi214")

    case.void(wrong)

    assert case.snapshot["eta"] == (NOW + 20 * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("system", "opening", "flag", "clearing"),
    [
        ("edi214", "A7", "refused", None),
        ("edi214", "A7/A2", "refused", None),
        ("edi214", "SD", "delayed", None),
        ("edi214", "K1", "customs_hold", "K2"),
        ("edi214", "PR", "customs_hold", "RH"),
        ("dcsa", "CUSS", "customs_hold", "CUSR"),
        ("dcsa", "CUSI", "customs_hold", "CUSR"),
        ("dcsa", "HOLD", "on_hold", "RELS"),
        ("aftership", "Exception", "exception", None),
        ("aftership", "Expired", "exception", None),
    ],
)
def test_codes_open_and_clear_flags(
    case: CarrierCase, system: str, opening: str, flag: str, clearing: str | None
) -> None:
    told = case.report(NOW - 2 * HOUR, code=opening, code_system=system)
    opened = case.snapshot["flags"]
    if clearing:
        case.report(NOW - HOUR, code=clearing, code_system=system)

    assert opened == [{"flag": flag, "reason": f"edi {opening}", "openedAt": "2026-03-02T10:00:00Z"}]
    assert told.outcome == "applied"
    assert bool(case.snapshot["flags"]) is (clearing is None)


def test_a_hold_that_was_released_before_it_is_reported_stays_closed(case: CarrierCase) -> None:
    case.report(NOW - HOUR, code="K2", code_system="edi214")
    case.report(NOW - 2 * HOUR, code="K1", code_system="edi214")

    assert case.snapshot["flags"] == []


def test_a_late_report_does_not_reopen_what_a_person_cleared(case: CarrierCase) -> None:
    case.report(NOW - 3 * HOUR, code="A9", code_system="edi214")
    services.clear_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="damaged")

    case.report(NOW - 2 * HOUR, code="A9", code_system="edi214")

    assert case.snapshot["flags"] == []


def test_a_late_report_does_not_clear_what_a_person_opened(case: CarrierCase) -> None:
    services.open_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="on_hold", reason="unpaid")

    case.report(NOW - HOUR, code="RELS", code_system="dcsa")

    assert [(flag["flag"], flag["reason"]) for flag in case.snapshot["flags"]] == [("on_hold", "unpaid")]


def test_voiding_a_report_takes_its_flag_back(case: CarrierCase) -> None:
    wrong = case.report(NOW - HOUR, code="A9", code_system="edi214")

    case.void(wrong)

    assert case.snapshot["flags"] == []
    assert fold(case.events) == case.snapshot


@pytest.mark.parametrize(
    ("state", "code", "status", "flags"),
    [
        ("in_transit", "TRANSIT/delayed", "in_transit", ["delayed"]),
        ("at_facility", "TRANSIT/delayed", "at_facility", []),
        ("out_for_delivery", "DELIVERED", "out_for_delivery", []),
    ],
)
def test_beside_a_state_a_code_adds_its_flag_where_it_says_the_same(
    case: CarrierCase, state: str, code: str, status: str, flags: list[str]
) -> None:
    case.report(NOW - HOUR, state, code=code, code_system="shippo")
    case.report(NOW, code="SD", code_system="edi214", source="other")

    assert case.snapshot["status"] == status
    assert [flag["openedAt"] for flag in case.snapshot["flags"]] == [
        "2026-03-02T11:00:00Z" if flags else "2026-03-02T12:00:00Z"
    ]


def test_a_person_clears_what_a_fast_clock_has_opened(case: CarrierCase) -> None:
    case.report(NOW + timedelta(minutes=4), code="A9", code_system="edi214")
    services.clear_flag(by=case.by, now=NOW, reference=case.shipment.reference, flag="damaged")

    case.report(NOW - HOUR, code="A9", code_system="edi214")

    assert case.snapshot["flags"] == []
