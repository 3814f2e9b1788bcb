"""Concurrent reports of positions: each position is stored once."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import connection

from shipments import services
from shipments.auth import subjects
from shipments.models import Driver, DriverPosition, Position
from shipments.services import DriverNotFound, Fix
from shipments.services.fleet import drivers
from tests import factories
from tests.factories import NOW

SECOND = timedelta(seconds=1)


def test_concurrent_batches_of_the_same_positions_store_each_once(committed: None) -> None:
    """In opposite orders: they block each other in the index, and after a deadlock one is retried."""
    organization = factories.organization()
    by = subjects.system_subject(organization.pk, name="import")
    driver_ids = [factories.driver(organization).pk for _ in range(20)]
    batch = [Fix(one, 50.0, 5.0 + n / 1_000, NOW - (50 - n) * SECOND) for n in range(50) for one in driver_ids]

    def report(number: int) -> services.BatchResult:
        try:
            return services.record_positions(by=by, now=NOW, batch=batch if number % 2 else batch[::-1])
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(report, range(4)))

    assert sum(each.stored for each in results) == len(batch)
    assert [each.stored + each.duplicates for each in results] == [len(batch)] * 4
    assert [each.refused for each in results] == [[]] * 4
    assert Position.objects.filter(driver_id__in=driver_ids).count() == len(batch)
    assert set(DriverPosition.objects.filter(driver_id__in=driver_ids).values_list("recorded_at", flat=True)) == {
        NOW - SECOND
    }


def test_a_driver_removed_concurrently_leaves_nothing(committed: None) -> None:
    organization = factories.organization()
    by, admin = subjects.system_subject(organization.pk, name="import"), factories.member(organization, "admin")
    driver_ids = [factories.driver(organization).pk for _ in range(15)]

    def report_one(driver_id: uuid.UUID) -> None:
        try:
            for n in range(10):
                at = NOW + n * SECOND
                services.record_position(by=by, now=at, fix=Fix(driver_id, 50.0, 5.0, at))
        except DriverNotFound:
            pass
        finally:
            connection.close()

    def remove(driver_id: uuid.UUID) -> None:
        try:
            drivers.remove_or_deactivate(by=admin, now=NOW, driver_id=driver_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(act, one) for one in driver_ids for act in (report_one, remove)]
        for each in done:
            each.result()

    assert not Driver.objects.filter(pk__in=driver_ids).exists()
    assert not Position.objects.filter(driver_id__in=driver_ids).exists()
