"""The statistics count the runs of all processes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from exports.models import Run
from exports.reports import statistics
from exports.reports.run_recorder import RunRecorder
from tests import factories

pytestmark = pytest.mark.django_db


def test_every_run_is_counted() -> None:
    dispatcher = factories.member(factories.organization(), "dispatcher")

    def run(file_format: str, outcome: str, rows: int, sent: int, *, cached: bool | None = None) -> None:
        recorder = RunRecorder(
            by=dispatcher, report="shipments", format=file_format, filters={}, rows=rows, cached=cached
        )
        recorder.start()
        if outcome != "running":
            recorder.finish(outcome, sent=sent)
            Run.objects.filter(pk=recorder.id).update(ended_at=Run.objects.get(pk=recorder.id).started_at + minute)

    Run.objects.all().delete()
    minute = timedelta(minutes=1)
    started_at = timezone.now()
    run("csv", "done", 10, 100)
    run("csv", "cancelled", 10, 50)
    run("pdf", "done", 5, 1000, cached=True)
    run("pdf", "failed", 5, 0, cached=False)
    run("xlsx", "running", 7, 0)
    RunRecorder(by=dispatcher, report="shipments", format="csv", filters={}).record_refusal("no")

    report = statistics.since(started_at)

    assert report == {
        "total": 6,
        "byFormat": {"csv": 3, "pdf": 2, "xlsx": 1},
        "byOutcome": {"done": 2, "failed": 1, "cancelled": 1, "refused": 1},
        "running": 1,
        "averageMs": 60_000.0,
        "p95Ms": 60_000.0,
        "rows": 15,
        "bytes": 1150,
        "cache": {"hits": 1, "misses": 1},
        "windowSeconds": 86_400,
    }


def test_old_runs_are_purged() -> None:
    now = timezone.now()
    dispatcher = factories.member(factories.organization(), "dispatcher")
    old, new = (RunRecorder(by=dispatcher, report="shipments", format="csv", filters={}) for _ in range(2))
    for recorder in (old, new):
        recorder.start()
        recorder.finish("done", sent=1)
    Run.objects.filter(pk=old.id).update(started_at=now - statistics.RETENTION - timedelta(hours=1))

    assert statistics.purge_batch(now) == 1
    assert list(Run.objects.filter(pk__in=[old.id, new.id]).values_list("pk", flat=True)) == [new.id]
