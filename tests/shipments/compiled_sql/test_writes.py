"""A row written by compiled SQL is the row that the ORM would have written."""

import uuid
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.models import Model

from shipments import log
from shipments.compiled_sql import writes
from shipments.models import AuditEntry, EventType, IdempotencyKey, ShipmentEvent
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def stored(row: AuditEntry | ShipmentEvent | IdempotencyKey) -> dict[str, object]:
    model: type[Model] = type(row)
    again = model._default_manager.get(pk=row.pk)
    return {field.attname: getattr(again, field.attname) for field in model._meta.concrete_fields}


def test_an_audit_entry_is_stored_as_the_orm_stores_it() -> None:
    by = factories.member(factories.organization(), "dispatcher").with_request_origin(
        address="2001:db8::1", request_id="r"
    )
    entries = [
        log.build_audit_entry(by=by, now=NOW, action="test", entity="thing", before={"a": [1, None]}, after=None)
        for _ in range(2)
    ]
    entries[0].save(force_insert=True)

    writes.insert(entries[1])

    theirs, ours = (stored(each) | {"id": None} for each in entries)
    assert ours == theirs
    assert entries[1]._state.adding is False


def test_an_event_is_stored_as_the_orm_stores_it() -> None:
    by = factories.member(factories.organization(), "dispatcher")
    shipments = [factories.booked_shipment(by) for _ in range(2)]
    events = []
    for shipment in shipments:
        shipment.seq += 1
        shipment.save(update_fields=["seq"])
        events.append(
            log.build_event(
                shipment, type=EventType.AMENDED, by=by, now=NOW, occurred_at=NOW, changes={"pieces": 2}
            )
        )
    events[0].save(force_insert=True)

    writes.insert(events[1])

    own = {"id": None, "shipment_id": None}
    assert stored(events[1]) | own == stored(events[0]) | own


def test_only_the_given_columns_are_updated() -> None:
    key = IdempotencyKey.objects.create(
        organization=factories.organization(), caller="c", key="k", fingerprint=b"f" * 32, created_at=NOW, status=1
    )
    before = stored(key)
    key.headers, key.body, key.status, key.caller = {"ETag": "x"}, b"b", None, "another"

    writes.update(key, ("headers", "body", "status"))

    assert stored(key) == before | {"headers": {"ETag": "x"}, "body": b"b", "status": None}


def test_updating_a_missing_row_raises() -> None:
    shipment = factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))
    shipment.pk = uuid.uuid4()

    with pytest.raises(DatabaseError):
        writes.update(shipment, ("notes",))


def test_a_batch_is_one_statement_at_the_end(django_assert_num_queries: Any) -> None:
    by = factories.member(factories.organization(), "dispatcher")
    entries = [
        log.build_audit_entry(by=by, now=NOW, action="test", entity=f"thing {number}") for number in range(3)
    ]
    key = IdempotencyKey.objects.create(
        organization_id=by.organization_id, caller="c", key="k", fingerprint=b"f" * 32, created_at=NOW, status=1
    )
    key.status = 2

    with django_assert_num_queries(1), writes.batched_writes():
        for entry in entries:
            writes.insert(entry)
        writes.update(key, ("status",))

    assert stored(key)["status"] == 2
    assert set(AuditEntry.objects.values_list("entity", flat=True)) >= {"thing 0", "thing 1", "thing 2"}


def test_a_batch_that_raises_writes_nothing() -> None:
    by = factories.member(factories.organization(), "dispatcher")

    with pytest.raises(KeyError), writes.batched_writes():
        writes.insert(log.build_audit_entry(by=by, now=NOW, action="test", entity="broken off"))
        raise KeyError
    writes.insert(log.build_audit_entry(by=by, now=NOW, action="test", entity="alone"))

    entries = AuditEntry.objects.filter(entity__in=["broken off", "alone"])
    assert [entry.entity for entry in entries] == ["alone"]
