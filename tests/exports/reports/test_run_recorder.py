"""Runs whose process was killed are marked as failed."""

import pytest
from django.utils import timezone

from exports.models import Run
from exports.reports import run_recorder
from exports.reports.run_recorder import RunRecorder
from shipments.models import AuditEntry
from tests import factories

pytestmark = pytest.mark.usefixtures("committed")


def test_a_run_without_heartbeat_is_marked_as_failed() -> None:
    organization = factories.organization()
    dispatcher = factories.member(organization, "dispatcher")
    stale = RunRecorder(by=dispatcher, report="shipments", format="csv", filters={}, rows=7)
    alive = RunRecorder(by=dispatcher, report="shipments", format="csv", filters={})
    stale.start()
    alive.start()
    Run.objects.filter(pk=stale.id).update(seen_at=timezone.now() - 2 * run_recorder.STALE_AFTER)

    run_recorder.fail_stale_batch(timezone.now())

    assert (Run.objects.get(pk=stale.id).outcome, Run.objects.get(pk=alive.id).outcome) == ("failed", "running")
    entries = AuditEntry.objects.filter(organization=organization, entity_id=str(stale.id)).order_by("at", "id")
    assert [(entry.outcome, entry.actor_id) for entry in entries] == [
        ("started", dispatcher.user_id),
        ("failed", dispatcher.user_id),
    ]
    alive.finish("done", sent=1)
