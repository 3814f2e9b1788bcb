"""The table of positions: append-only, without orphans, partitioned by day."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError

from shipments.auth.subjects import Subject
from shipments.models import Organization, Position
from shipments.services.fleet import drivers, position_partitions
from tests import factories
from tests.factories import NOW
from tests.narrowing import present
from tests.shipments.services.fleet.position_reports import (
    AMSTERDAM,
    SECOND,
    current_position,
    report,
    stored_times,
)


def test_a_position_never_changes(driver: Subject) -> None:
    report(driver)

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Position.objects.filter(driver_id=present(driver.driver_id)).update(latitude=0.0)


def test_a_driver_who_is_removed_leaves_no_track(organization: Organization) -> None:
    removed = factories.driver(organization)
    factories.report_position(removed, 1.0, 2.0)

    drivers.remove_or_deactivate(by=factories.member(organization, "admin"), now=NOW, driver_id=removed.pk)

    assert not Position.objects.filter(driver_id=removed.pk).exists()


def days() -> set[date]:
    with connection.cursor() as cursor:
        return position_partitions._existing_days(cursor)


def partition_of(when: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM shipments_position WHERE recorded_at = %s", [when])
        [(name,)] = cursor.fetchall()
        return str(name)


def test_partitions_exist_from_the_start(db: None) -> None:
    assert len(days()) >= 3


def test_partitions_are_created_ahead_and_take_rows_of_the_default_partition(driver: Subject) -> None:
    when = NOW + timedelta(days=4_000)
    report(driver, when=when, now=when)
    before = partition_of(when)

    partition_count = position_partitions.maintain(now=when)

    assert before == "shipments_position_other"
    assert partition_of(when) == f"shipments_position_{when:%Y%m%d}"
    assert partition_count > 0
    assert {when.date() + timedelta(days=n) for n in range(-7, 8)} <= days()
    assert position_partitions.maintain(now=when) == 0
    assert report(driver, when=when + SECOND, now=when + SECOND) == "latest"


def test_expired_partitions_are_dropped_and_the_latest_position_stays(driver: Subject) -> None:
    report(driver)
    position_partitions.maintain(now=NOW)
    report(driver, when=NOW + SECOND, now=NOW + SECOND)

    position_partitions.maintain(now=NOW + timedelta(days=30))
    times_before = stored_times(driver)
    position_partitions.maintain(now=NOW + timedelta(days=31))

    assert times_before == [NOW, NOW + SECOND]
    assert stored_times(driver) == []
    assert NOW.date() not in days()
    assert current_position(driver) == (*AMSTERDAM, NOW + SECOND)


def test_every_partition_refuses_a_change(driver: Subject) -> None:
    position_partitions.maintain(now=NOW)
    report(driver)

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Position.objects.filter(driver_id=present(driver.driver_id)).update(latitude=0.0)
    assert partition_of(NOW) == f"shipments_position_{NOW.astimezone(UTC):%Y%m%d}"
