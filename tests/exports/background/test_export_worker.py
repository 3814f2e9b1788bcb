"""The workers of background exports: complete files or none, also after a kill, a cancel or an error."""

import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from exports import signals
from exports.background import export_jobs, export_worker, file_store, job_queue
from exports.models import Export, Run
from exports.reports import format_registry
from exports.reports.format_registry import Dataset, Format
from exports.reports.run_recorder import RunRecorder
from shipments.auth.subjects import Subject
from shipments.models import ApiKey, AuditEntry, Organization
from tests import factories
from tests.exports import pdf_reader
from tests.exports.export_client import token
from tests.exports.export_job_client import create_export, create_export_job, download, get_export
from tests.narrowing import present
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "export_dir")
State = Export.State


@pytest.fixture
def endless_format(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Register a format `endless`, which writes until its reader is cancelled; the event is set once it writes."""
    started = threading.Event()

    def write(dataset: Dataset) -> Iterator[bytes]:
        yield b"first block"
        started.set()
        if not dataset.reader.cancelled.wait(30):
            raise AssertionError("it was not cancelled")
        raise OSError("cancelled")

    monkeypatch.setitem(format_registry._formats, "endless", Format("endless", "text/plain", "csv", write))
    return started


def start_worker() -> threading.Thread:
    """Work a batch as the relay does: in a thread that gives its connection back."""

    def work() -> None:
        try:
            export_worker.work_batch()
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    return worker


def test_a_cancelled_export_stops_writing(
    dispatcher: Subject, organization: Organization, endless_format: threading.Event, export_dir: Path
) -> None:
    factories.booked_shipment(dispatcher)
    export = create_export_job(dispatcher, file_format="endless")
    worker = start_worker()
    assert endless_format.wait(10)

    export_jobs.cancel(by=dispatcher, now=timezone.now(), export_id=export.pk)

    worker.join(10)
    export.refresh_from_db()
    assert (worker.is_alive(), export.state, list(export_dir.iterdir())) == (False, "cancelled", [])
    entries = AuditEntry.objects.filter(organization=organization, entity_id=str(export.pk)).order_by("at", "id")
    assert [entry.outcome for entry in entries] == ["started", "cancelled"]


def test_files_expire(api: Api, dispatcher: Subject, export_dir: Path) -> None:
    old, new = create_export(api), create_export(api)
    export_worker.work_batch()
    export_worker.work_batch()
    Export.objects.filter(pk=old["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    export_worker.expire_batch(timezone.now())

    assert (get_export(api, old)["state"], get_export(api, new)["state"]) == ("expired", "succeeded")
    assert [path.name for path in export_dir.iterdir()] == [f"{new['id']}-1.csv"]


def test_orphaned_files_are_removed_after_an_hour(export_dir: Path) -> None:
    file_store.directory()
    for name, age in (("old.csv.part", 7200), ("new.csv.part", 0), ("kept.csv", 7200)):
        path = export_dir / name
        path.write_bytes(b"x")
        os.utime(path, (path.stat().st_mtime - age,) * 2)

    assert file_store.remove_orphans({"kept.csv"}) == 1
    assert {path.name for path in export_dir.iterdir()} == {"new.csv.part", "kept.csv"}


def test_a_pdf_is_complete(api: Api, dispatcher: Subject) -> None:
    booked = [factories.booked_shipment(dispatcher, pieces=number + 7) for number in range(60)]
    fields = ["reference", "status", "pieces"]
    export = create_export(api, format="pdf", filters={"ordering": "reference"}, fields=fields)

    export_worker.work_batch()

    export_body, (answer, body) = get_export(api, export), download(dispatcher, export)
    stored = Export.objects.get(pk=export["id"])
    assert (export_body["state"], stored.done, stored.total, answer.status_code) == ("succeeded", 60, 60, 200)
    assert (stored.size, stored.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    pages = pdf_reader.pages(body)
    page_text = " ".join(" ".join(pages).split())
    rows = [f"{each.reference} booked {each.pieces}" for each in sorted(booked, key=lambda each: each.reference)]
    places = [page_text.find(row) for row in rows]
    assert [row for row, place in zip(rows, places, strict=True) if place < 0] == []
    assert places == sorted(places)
    assert [f"Page {n} of {len(pages)}" in page for n, page in enumerate(pages, 1)] == [True] * len(pages)
    assert len(pages) == 3  # about twenty rows below the summary, then about forty a page


def test_a_stalled_export_is_requeued(api: Api, dispatcher: Subject, organization: Organization) -> None:
    factories.booked_shipment(dispatcher)
    export = create_export(api)
    # The state that a killed worker leaves: running, started in the audit, its lock free.
    Export.objects.filter(pk=export["id"]).update(
        state=State.RUNNING, attempt=1, run_id=(recorder := RunRecorder(
            by=dispatcher, report="shipments", format="csv", filters={}, export_id=uuid.UUID(export["id"])
        )).id,
    )  # fmt: skip
    recorder.start()

    requeued = export_worker.requeue_stalled_batch()
    export_worker.work_batch()

    assert (requeued, get_export(api, export)["state"]) == (1, "succeeded")
    assert Export.objects.get(pk=export["id"]).file.endswith("-2.csv")
    entries = AuditEntry.objects.filter(organization=organization, entity_id=export["id"]).order_by("at", "id")
    assert [entry.outcome for entry in entries] == ["started", "failed", "started", "done"]
    assert set(Run.objects.filter(export_id=export["id"]).values_list("outcome", flat=True)) == {"failed", "done"}


def test_an_export_with_a_live_worker_is_not_requeued(dispatcher: Subject, endless_format: threading.Event) -> None:
    factories.booked_shipment(dispatcher)
    export = create_export_job(dispatcher, file_format="endless")
    worker = start_worker()
    assert endless_format.wait(10)

    export_worker.requeue_stalled_batch()

    export.refresh_from_db()
    assert (export.state, export.attempt) == ("running", 1)
    export_jobs.cancel(by=dispatcher, now=timezone.now(), export_id=export.pk)
    worker.join(10)


def test_an_export_fails_after_its_last_attempt(api: Api, dispatcher: Subject) -> None:
    export = create_export(api)
    Export.objects.filter(pk=export["id"]).update(state=State.RUNNING, attempt=job_queue.MAX_ATTEMPTS)

    export_worker.requeue_stalled_batch()

    assert get_export(api, export)["state"] == "failed"
    assert export_worker.work_batch() == 0
    assert get_export(api, export)["state"] == "failed"


def test_an_export_of_a_revoked_key_fails(dispatcher: Subject, export_dir: Path) -> None:
    keyed = replace(dispatcher, scopes=frozenset({"exports:read"}))
    token(dispatcher)
    key = ApiKey.objects.filter(user_id=present(dispatcher.user_id)).latest("created_at")
    export = create_export_job(replace(keyed, key_id=key.pk))
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())

    export_worker.work_batch()

    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "The user who ordered it no longer has access.")
    assert not export_dir.exists() or list(export_dir.iterdir()) == []


def test_a_failed_writer_leaves_no_file(
    api: Api, dispatcher: Subject, export_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: Dataset) -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("broken")

    monkeypatch.setitem(format_registry._formats, "csv", Format("csv", "text/csv", "csv", write))
    export = create_export(api)

    export_worker.work_batch()

    export_body = get_export(api, export)
    assert (export_body["state"], export_body["file"], list(export_dir.iterdir())) == ("failed", None, [])
    assert "broken" not in export_body["error"]


def test_progress_is_published_up_to_the_count(dispatcher: Subject) -> None:
    for _ in range(3):
        factories.booked_shipment(dispatcher)
    events: list[dict[str, Any]] = []

    def receiver(**event: Any) -> None:
        events.append(event)

    signals.progressed.connect(receiver)
    try:
        export = create_export_job(dispatcher)
        export_worker.work_batch()
    finally:
        signals.progressed.disconnect(receiver)

    assert {each["export_id"] for each in events} == {export.pk}
    assert events[-1]["value"] == {"exportId": str(export.pk), "state": "succeeded", "done": 3, "total": 3}
    versions = [each["version"] for each in events]
    assert versions == sorted(versions)
