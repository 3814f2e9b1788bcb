"""Runs of exports whose process was killed do not stay open for ever."""

import pytest
from django.utils import timezone

from exports import record
from exports.models import Run
from exports.record import Record
from shipments.models import AuditEntry
from tests import factories

pytestmark = pytest.mark.usefixtures("committed")


def test_a_run_that_nobody_ends_is_ended_as_failed() -> None:
    house = factories.organization()
    dispatcher = factories.member(house, "dispatcher")
    lost = Record(by=dispatcher, report="shipments", format="csv", filters={}, rows=7)
    alive = Record(by=dispatcher, report="shipments", format="csv", filters={})
    lost.start()
    alive.start()
    Run.objects.filter(pk=lost.id).update(seen_at=timezone.now() - 2 * record.LOST_AFTER)

    record.end_lost_batch(timezone.now())

    assert (Run.objects.get(pk=lost.id).outcome, Run.objects.get(pk=alive.id).outcome) == ("failed", "running")
    entries = AuditEntry.objects.filter(organization=house, entity_id=str(lost.id)).order_by("at", "id")
    assert [(entry.outcome, entry.actor_id) for entry in entries] == [
        ("started", dispatcher.user_id),
        ("failed", dispatcher.user_id),
    ]
    alive.end("done", sent=1)
