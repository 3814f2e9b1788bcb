"""Drivers' positions: what is accepted, what is shown, what is stored."""

import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipments import services, signals
from shipments.auth import subjects
from shipments.auth.subjects import Forbidden, Subject
from shipments.models import Driver, DriverPosition, Organization, Position
from shipments.services import DriverNotFound, Fix, Implausible, InvalidArgument
from shipments.services.fleet import plausibility
from tests import factories
from tests.factories import NOW
from tests.narrowing import present
from tests.shipments.services.fleet.position_reports import (
    AMSTERDAM,
    HARBOUR,
    NEW_YORK,
    SECOND,
    current_position,
    report,
    stored_times,
)


@contextmanager
def recorded_signals() -> Iterator[list[dict[str, Any]]]:
    payloads: list[dict[str, Any]] = []

    def receive(*, signal: Any, sender: Any, **payload: Any) -> None:
        payloads.append(payload)

    signals.position_recorded.connect(receive, weak=False)
    try:
        yield payloads
    finally:
        signals.position_recorded.disconnect(receive)


def test_the_latest_is_shown_and_all_are_stored(driver: Subject) -> None:
    outcomes = [
        report(driver, HARBOUR, NOW - 60 * SECOND),
        report(driver, AMSTERDAM, NOW),
        report(driver, HARBOUR, NOW - 30 * SECOND),
        report(driver, AMSTERDAM, NOW),
    ]

    assert outcomes == ["latest", "latest", "late", "duplicate"]
    assert current_position(driver) == (*AMSTERDAM, NOW)
    assert stored_times(driver) == [NOW - 60 * SECOND, NOW - 30 * SECOND, NOW]


def test_without_a_time_it_is_as_of_now_and_measures_are_stored(driver: Subject) -> None:
    report(driver, when=None, accuracy=8.0, speed=22.5, bearing=181.0)

    position = Position.objects.get(driver_id=present(driver.driver_id))
    assert (position.recorded_at, position.received_at) == (NOW, NOW)
    assert (position.accuracy, position.speed, position.bearing, position.plausible) == (8.0, 22.5, 181.0, True)


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"latitude": 90.1}, "latitude", "out_of_range"),
        ({"latitude": math.nan}, "latitude", "out_of_range"),
        ({"longitude": -180.1}, "longitude", "out_of_range"),
        ({"longitude": math.inf}, "longitude", "out_of_range"),
        ({"latitude": 0.0, "longitude": -0.0005}, "latitude", "null_island"),
        ({"accuracy": -1.0}, "accuracy", "out_of_range"),
        ({"accuracy": 1e9}, "accuracy", "out_of_range"),
        ({"speed": math.nan}, "speed", "out_of_range"),
        ({"bearing": 361.0}, "bearing", "out_of_range"),
        ({"recorded_at": NOW + timedelta(minutes=6)}, "recordedAt", "future"),
        ({"recorded_at": NOW - timedelta(days=8)}, "recordedAt", "too_old"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_field(driver: Subject, wrong: Any, field: str, code: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        report(driver, **wrong)

    assert (refused.value.field, refused.value.code) == (field, code)
    assert current_position(driver) is None
    assert stored_times(driver) == []


@given(
    latitude=st.floats(-95, 95) | st.sampled_from([math.nan, math.inf, 0.0]),
    longitude=st.floats(-185, 185) | st.just(0.0),
    accuracy=st.none() | st.floats(-1, 2e5),
    seconds=st.integers(-800_000, 800),
)
def test_both_checks_of_values_agree(
    latitude: float, longitude: float, accuracy: float | None, seconds: int
) -> None:
    fix = Fix(uuid.UUID(int=1), latitude, longitude, NOW + seconds * SECOND, accuracy)
    try:
        plausibility.check_values(fix, now=NOW)
    except InvalidArgument:
        is_valid = False
    else:
        is_valid = True

    assert plausibility.is_valid(fix, NOW - plausibility.MAX_AGE, NOW + timedelta(minutes=5)) == is_valid


def test_an_implausible_jump_is_refused_and_stored_apart(driver: Subject) -> None:
    report(driver, AMSTERDAM, NOW - 60 * SECOND)

    with pytest.raises(Implausible) as refused:
        report(driver, NEW_YORK)

    assert (refused.value.field, refused.value.code) == ("latitude", "impossible_jump")
    assert current_position(driver) == (*AMSTERDAM, NOW - 60 * SECOND)
    assert stored_times(driver, plausible=False) == [NOW]


def test_a_flight_over_night_is_no_jump(driver: Subject) -> None:
    report(driver, AMSTERDAM, NOW - timedelta(hours=8))

    assert report(driver, NEW_YORK) == "latest"


def test_a_systems_report_does_not_constrain_the_driver(organization: Organization, driver: Subject) -> None:
    system = subjects.system_subject(organization.pk, name="telematics")
    outcome = report(system, NEW_YORK, NOW - SECOND, driver_id=present(driver.driver_id))

    own = report(driver, AMSTERDAM)

    assert (outcome, own) == ("latest", "latest")


def test_a_drivers_own_position_outranks_a_systems_for_ten_minutes(
    organization: Organization, driver: Subject
) -> None:
    system, target = subjects.system_subject(organization.pk, name="telematics"), {"driver_id": driver.driver_id}
    report(driver, AMSTERDAM)

    soon = NOW + timedelta(minutes=10)
    at_once = report(system, NEW_YORK, soon, now=soon, **target)
    in_bulk = services.record_positions(
        by=system, now=soon, batch=[Fix(driver.driver_id or uuid.uuid4(), *NEW_YORK, soon - SECOND)]
    )
    position_then = current_position(driver)
    later = report(system, NEW_YORK, soon + SECOND, now=soon + SECOND, **target)

    assert (at_once, in_bulk.stored, in_bulk.moved, later) == ("late", 1, 0, "latest")
    assert position_then == (*AMSTERDAM, NOW)


def test_three_consistent_fixes_overrule_a_wrong_first_one(driver: Subject) -> None:
    report(driver, NEW_YORK, NOW - 300 * SECOND)

    for ago in (20, 10):
        with pytest.raises(Implausible):
            report(driver, AMSTERDAM, NOW - ago * SECOND)
    third = report(driver, AMSTERDAM)

    assert third == "latest"
    assert current_position(driver) == (*AMSTERDAM, NOW)


def test_inconsistent_jumps_are_never_accepted(driver: Subject) -> None:
    report(driver, AMSTERDAM, NOW - 300 * SECOND)

    for seconds, place in enumerate([NEW_YORK, (10.0, 10.0), NEW_YORK, (10.0, 10.0)]):
        with pytest.raises(Implausible):
            report(driver, place, NOW + seconds * SECOND)

    assert current_position(driver) == (*AMSTERDAM, NOW - 300 * SECOND)


def test_the_reported_accuracy_is_tolerated(driver: Subject) -> None:
    report(driver, (52.0, 5.0), NOW - SECOND)

    assert report(driver, (52.04, 5.0), accuracy=4_000.0) == "latest"  # 4.4 km in a second, by cell tower


@pytest.mark.parametrize("start", [-179.999, 179.999])
def test_the_date_line_is_no_jump(driver: Subject, start: float) -> None:
    report(driver, (0.0, start), NOW - 10 * SECOND)

    assert report(driver, (0.0, -start)) == "latest"


def test_a_driver_reports_only_itself(organization: Organization, driver: Subject) -> None:
    other = factories.driver(organization)

    with pytest.raises(DriverNotFound):
        report(driver, driver_id=other.pk)
    with pytest.raises(DriverNotFound):
        report(
            subjects.system_subject(organization.pk, name="x"),
            driver_id=factories.driver(factories.organization()).pk,
        )


@pytest.mark.parametrize("role", ["admin", "dispatcher", "customer", "auditor"])
def test_other_roles_cannot_report_positions(organization: Organization, driver: Subject, role: str) -> None:
    with pytest.raises(Forbidden):
        report(factories.member(organization, role), driver_id=present(driver.driver_id))


def test_an_inactive_driver_is_refused(organization: Organization, driver: Subject) -> None:
    Driver.objects.filter(pk=present(driver.driver_id)).update(status="inactive")

    with pytest.raises(Forbidden, match="inactive"):
        report(driver)


def test_only_latest_positions_are_announced_and_only_after_commit(
    organization: Organization, driver: Subject, django_capture_on_commit_callbacks: Any
) -> None:
    with recorded_signals() as payloads:
        with django_capture_on_commit_callbacks(execute=True):
            report(driver)
            before = list(payloads)
            report(driver, HARBOUR, NOW - 60 * SECOND)
            report(driver)

        assert before == []
        assert payloads == [
            {
                "organization_id": organization.pk,
                "driver_id": driver.driver_id,
                "position": {
                    "driverId": str(driver.driver_id), "latitude": 52.37, "longitude": 4.89,
                    "recordedAt": "2026-03-02T12:00:00Z",
                },
                "version": int(NOW.timestamp()) * 1_000_000,
            }
        ]  # fmt: skip


# -- batches -------------------------------------------------------------------------------------------------


def test_a_batch_is_stored_and_each_driver_is_shown_at_its_latest(
    organization: Organization, django_capture_on_commit_callbacks: Any
) -> None:
    by = subjects.system_subject(organization.pk, name="import")
    driver_ids = [factories.driver(organization).pk for _ in range(3)]
    batch = [
        Fix(driver_ids[n % 3], 50 + n / 1_000, 5.0, NOW - (60 - n) * SECOND, accuracy=1.0 if n % 2 else None)
        for n in range(60)
    ]
    unknown = Fix(uuid.UUID(int=5), 1.0, 1.0, NOW)
    broken = replace(batch[0], latitude=math.nan)

    with recorded_signals() as payloads, django_capture_on_commit_callbacks(execute=True):
        result = services.record_positions(by=by, now=NOW, batch=[*batch, unknown, broken, batch[-1]])

    assert (result.stored, result.duplicates, result.moved) == (60, 1, 3)
    assert [(index, type(refusal)) for index, refusal in sorted(result.refused, key=lambda each: each[0])] == [
        (60, DriverNotFound), (61, InvalidArgument),
    ]  # fmt: skip
    assert Position.objects.filter(driver_id__in=driver_ids).count() == 60
    assert sorted(
        DriverPosition.objects.filter(driver_id__in=driver_ids).values_list("latitude", flat=True)
    ) == pytest.approx([50.057, 50.058, 50.059])
    assert sorted(each["position"]["latitude"] for each in payloads) == pytest.approx([50.057, 50.058, 50.059])


def test_the_same_batch_again_has_no_effect(organization: Organization) -> None:
    by = subjects.system_subject(organization.pk, name="import")
    batch = [Fix(factories.driver(organization).pk, 50.0, 5.0, NOW - n * SECOND) for n in range(10)]

    first = services.record_positions(by=by, now=NOW, batch=batch)
    again = services.record_positions(by=by, now=NOW, batch=batch)

    assert (first.stored, first.moved) == (10, 10)
    assert (again.stored, again.duplicates, again.moved, again.refused) == (0, 10, 0, [])


def test_a_stored_position_newer_than_the_latest_does_not_break_a_batch(driver: Subject) -> None:
    """An implausible position is newer than the latest: COPY conflicts with it, and the others are stored."""
    report(driver, AMSTERDAM, NOW - 60 * SECOND)
    with pytest.raises(Implausible):
        report(driver, NEW_YORK, NOW - SECOND)
    assert driver.driver_id is not None
    batch = [Fix(driver.driver_id, *AMSTERDAM, NOW - n * SECOND) for n in (2, 1, 0)]

    result = services.record_positions(by=driver, now=NOW, batch=batch)

    assert (result.stored, result.duplicates) == (2, 1)
    assert current_position(driver) == (*AMSTERDAM, NOW)


def test_a_drivers_batch_holds_its_own_positions_and_no_jump(organization: Organization, driver: Subject) -> None:
    assert driver.driver_id is not None
    batch = [
        Fix(driver.driver_id, *AMSTERDAM, NOW - 3 * SECOND),
        Fix(driver.driver_id, *NEW_YORK, NOW - 2 * SECOND),
        Fix(driver.driver_id, *AMSTERDAM, NOW),
        Fix(factories.driver(organization).pk, *AMSTERDAM, NOW),
    ]

    result = services.record_positions(by=driver, now=NOW, batch=batch)

    assert result.stored == 2
    assert {index: type(refusal) for index, refusal in result.refused} == {1: Implausible, 3: DriverNotFound}
    assert stored_times(driver, plausible=False) == [NOW - 2 * SECOND]
