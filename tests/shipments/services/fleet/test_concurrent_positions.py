"""Positions that come at the same time: each is kept once, whoever brings it."""

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


def test_whoever_brings_the_same_at_once_each_position_is_kept_once(committed: None) -> None:
    """In opposite orders: they meet in the index, and where they wait for each other one begins anew."""
    house = factories.organization()
    by = subjects.system_subject(house.pk, name="import")
    some = [factories.driver(house).pk for _ in range(20)]
    batch = [Fix(one, 50.0, 5.0 + n / 1_000, NOW - (50 - n) * SECOND) for n in range(50) for one in some]

    def bring(turn: int) -> services.BatchResult:
        try:
            return services.record_positions(by=by, now=NOW, batch=batch if turn % 2 else batch[::-1])
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(bring, range(4)))

    assert sum(each.stored for each in results) == len(batch)
    assert [each.stored + each.duplicates for each in results] == [len(batch)] * 4
    assert [each.refused for each in results] == [[]] * 4
    assert Position.objects.filter(driver_id__in=some).count() == len(batch)
    assert set(DriverPosition.objects.filter(driver_id__in=some).values_list("recorded_at", flat=True)) == {
        NOW - SECOND
    }


def test_a_driver_removed_meanwhile_leaves_nothing(committed: None) -> None:
    house = factories.organization()
    by, admin = subjects.system_subject(house.pk, name="import"), factories.member(house, "admin")
    some = [factories.driver(house).pk for _ in range(15)]

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
        done = [pool.submit(act, one) for one in some for act in (report_one, remove)]
        for each in done:
            each.result()

    assert not Driver.objects.filter(pk__in=some).exists()
    assert not Position.objects.filter(driver_id__in=some).exists()
