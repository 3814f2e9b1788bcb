"""The workers of imports: no row twice and no partial chunk, also after a kill, a cancel or a lock conflict."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from exports.file_imports import import_jobs, import_worker
from exports.models import Import, ImportedRow
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization
from tests import factories
from tests.drills.harness.waiting import wait_until
from tests.exports.import_client import (
    ROUTE,
    csv_of,
    get_import,
    row_errors,
    run_import,
    send,
    shipments_by_reference,
)
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "export_dir")


def test_a_stalled_import_continues_after_its_last_chunk(
    api: Api, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_worker, "CHUNK_ROWS", 2)
    rows = [{"Reference": f"A-{at}", **ROUTE} for at in range(5)] + [{"Reference": "A-0", **ROUTE}]
    import_id = send(api, csv_of(rows)).json()["id"]
    apply_chunk, crashes = import_worker._apply_chunk, []

    def crash(import_job: Import, *rest: Any) -> None:
        if import_job.done == 2:
            crashes.append(import_job.done)
            raise SystemExit  # as abrupt as a thread can end
        apply_chunk(import_job, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(import_worker, "_apply_chunk", crash)
        with pytest.raises(SystemExit):
            import_worker.work_batch()
    stalled = get_import(api, import_id)
    first_keys = {name: each.pk for name, each in shipments_by_reference(organization).items()}

    wait_until(import_worker.requeue_stalled_batch, seconds=10)
    import_worker.work_batch()

    done = get_import(api, import_id)
    assert (stalled["state"], stalled["progress"]["done"], len(first_keys), crashes) == ("running", 2, 2, [2])
    assert (done["state"], done["progress"]) == ("succeeded", {"done": 6, "total": 6})
    assert done["counts"] == {"created": 5, "updated": 0, "unchanged": 0, "failed": 1}
    assert row_errors(done)[7] == [("Reference", "repeated")]
    assert [entry["row"] for entry in done["rows"]] == [2, 3, 4, 5, 6, 7]
    assert {name: each.seq for name, each in shipments_by_reference(organization).items()} == dict.fromkeys(
        [f"A-{at}" for at in range(5)], 1
    )
    assert {name: shipments_by_reference(organization)[name].pk for name in first_keys} == first_keys
    outcomes = AuditEntry.objects.filter(organization=organization, entity="import").order_by("at", "id")
    assert [each.outcome for each in outcomes] == ["started", "done"]


def test_a_cancelled_import_keeps_its_applied_chunks(
    api: Api, dispatcher: Subject, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_worker, "CHUNK_ROWS", 2)
    import_id = send(api, csv_of([{"Reference": f"A-{at}", **ROUTE} for at in range(6)])).json()["id"]
    apply_chunk = import_worker._apply_chunk

    def cancel_after_the_first(import_job: Import, *rest: Any) -> None:
        if import_job.done == 2:
            import_jobs.cancel(by=dispatcher, now=timezone.now(), import_id=import_job.pk)
        apply_chunk(import_job, *rest)

    monkeypatch.setattr(import_worker, "_apply_chunk", cancel_after_the_first)

    import_worker.work_batch()

    done = get_import(api, import_id)
    assert (done["state"], done["counts"]["created"], sorted(shipments_by_reference(organization))) == (
        "cancelled",
        2,
        ["A-0", "A-1"],
    )
    assert ImportedRow.objects.filter(import_id=import_id).count() == 2


def test_an_import_of_a_user_without_the_permission_fails(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    import_id = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shipments_membership SET role = 'auditor' WHERE user_id = %s", [dispatcher.user_id])

    import_worker.work_batch()

    done = get_import(Api(dispatcher), import_id)
    assert (done["state"], shipments_by_reference(organization)) == ("failed", {})
    assert "may not" in done["error"]


def test_concurrent_files_with_the_same_references_book_each_once(organization: Organization) -> None:
    """They lock the same rows in opposite orders."""
    rows = [{"Reference": f"A-{at}", **ROUTE} for at in range(40)]
    apis = [Api(factories.member(organization, "dispatcher")) for _ in range(2)]
    ids = [send(api, csv_of(part)).json()["id"] for api, part in zip(apis, (rows, rows[::-1]), strict=True)]

    def run() -> None:
        try:
            while import_worker.work_batch() == 0:  # the other claimed its own at the same moment
                pass
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(shipments_by_reference(organization)) == sorted(row["Reference"] for row in rows)
    reports = [get_import(api, import_id) for api, import_id in zip(apis, ids, strict=True)]
    assert {report["state"] for report in reports} == {"succeeded"}
    assert [sum(report["counts"][name] for report in reports) for name in ("created", "unchanged")] == [40, 40]
    assert {each.seq for each in shipments_by_reference(organization).values()} == {1}


def test_old_imports_are_purged(api: Api, settings: Any) -> None:
    import_id = run_import(api, csv_of([{"Reference": "A-1", **ROUTE}]))["id"]
    other = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]
    Import.objects.filter(pk__in=[import_id, other]).update(created_at=datetime(2020, 1, 1, tzinfo=UTC))

    while import_worker.purge_batch(timezone.now()):
        pass

    assert (api.get(f"/api/imports/{import_id}").status_code, get_import(api, other)["state"]) == (404, "queued")
    assert not ImportedRow.objects.filter(import_id=import_id).exists()
