"""A database that lacks an event which was known of its epoch gets a new one, once, and no other database does."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django_redis import get_redis_connection
from pytest_django import Settings

from monitoring.dependencies.breaker import redis_breaker
from shipments import metrics
from shipments.domain.identifiers import new_id
from shipments.models import AuditEntry, Generation, ShipmentEvent
from shipments.selectors import epoch
from shipments.services.history import regressions, watermarks
from tests import factories

pytestmark = pytest.mark.usefixtures("committed", "stores")


@pytest.fixture
def stores(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """Use a home of the test's own, and forget what other tests have stored."""
    settings.FREIGHT_HOME = tmp_path
    redis_breaker.reset()
    watermarks._memory.clear()
    yield
    watermarks._memory.clear()
    get_redis_connection("default").delete(watermarks._key(epoch.read()))


def book() -> str:
    """Book a shipment, and return the id of the newest event."""
    factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))
    return str(ShipmentEvent.objects.order_by("-pk").values_list("pk", flat=True)[0])


def forget(*names: str) -> None:
    """Lose what is stored in these places."""
    current = epoch.read()
    if "memory" in names:
        watermarks._memory.clear()
    if "file" in names:
        watermarks._path(current).unlink(missing_ok=True)
    if "redis" in names:
        get_redis_connection("default").delete(watermarks._key(current))


def know_a_lost_event() -> str:
    """Advance the watermark by an event that the database does not have, and return the epoch."""
    current = epoch.read()
    watermarks.advance(current, [str(new_id()), book()])
    return current


@pytest.mark.parametrize("lost", [(), ("memory",), ("memory", "file"), ("memory", "redis")])
def test_a_database_that_lacks_a_known_event_gets_a_new_epoch(lost: tuple[str, ...]) -> None:
    before, counted = know_a_lost_event(), metrics.went_back._value.get()
    forget(*lost)

    change = regressions.check()

    entry = AuditEntry.objects.filter(action="new_epoch").latest("pk")
    assert change is not None
    assert (change.before, change.after) == (before, epoch.read())
    assert entry.after is not None
    assert (entry.actor_name, entry.after["wentBack"]) == ("history check", True)
    assert metrics.went_back._value.get() == counted + 1
    assert Generation.objects.get().went_back_at is not None
    assert regressions.check() is None


def test_a_snapshot_that_is_put_back_twice_gets_two_epochs() -> None:
    value = Generation.objects.get().value
    before = know_a_lost_event()
    first = regressions.check()
    Generation.objects.update(value=value)

    second = regressions.check()

    assert first is not None
    assert second is not None
    assert second.before == before
    assert len({before, first.after, second.after}) == 3


def test_without_any_memory_nothing_is_missed() -> None:
    know_a_lost_event()
    forget("memory", "file", "redis")

    assert regressions.check() is None


def test_another_database_has_another_watermark() -> None:
    know_a_lost_event()
    factories.new_epoch()

    assert regressions.check() is None


def test_a_transaction_that_is_rolled_back_was_never_known() -> None:
    newest = book()
    regressions.check()

    assert watermarks.load(epoch.read()) >= {newest}
    assert len(watermarks.load(epoch.read())) <= regressions.WITNESSES


def test_a_watermark_is_only_advanced(tmp_path: Path) -> None:
    older, newer = str(new_id()), str(new_id())
    current = epoch.read()
    watermarks.advance(current, [newer])
    watermarks._memory.clear()

    watermarks.advance(current, [older])

    assert (tmp_path / "history" / current).read_text() == newer
    assert get_redis_connection("default").get(watermarks._key(current)).decode() == newer


def test_a_damaged_file_and_a_folder_that_cannot_be_written_are_survived(
    settings: Settings, tmp_path: Path
) -> None:
    book()
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / epoch.read()).write_bytes(b"\xff\x00 not a watermark")
    assert regressions.check() is None
    settings.FREIGHT_HOME = tmp_path / "history" / epoch.read()
    watermarks._memory.clear()

    assert regressions.check() is None


def test_many_that_notice_at_once_make_one_generation() -> None:
    know_a_lost_event()
    count = AuditEntry.objects.filter(action="new_epoch").count()

    def check() -> None:
        regressions.check()
        connection.close()

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert AuditEntry.objects.filter(action="new_epoch").count() == count + 1


def test_a_room_whose_head_fell_is_reported_with_proof() -> None:
    book()
    shipment = ShipmentEvent.objects.order_by("-pk")[0]
    assert shipment.shipment_id is not None
    current = epoch.read()

    assert regressions.report_lost_heads(current, {shipment.shipment_id: 1}) is None
    assert regressions.report_lost_heads("another", {shipment.shipment_id: 2}) is None
    assert regressions.report_lost_heads(current, {shipment.shipment_id: 2}) is not None
    assert regressions.report_lost_heads(epoch.read(), {uuid.uuid4(): 1}) is not None
