"""The workers of imports: nothing twice, nothing half, whoever is killed, cancelled or in the way."""

import threading
import uuid
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

pytestmark = pytest.mark.usefixtures("committed", "folder")


def test_one_whose_worker_was_killed_goes_on_where_it_stood(
    api: Api, house: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_worker, "CHUNK", 2)
    rows = [{"Reference": f"A-{at}", **ROUTE} for at in range(5)] + [{"Reference": "A-0", **ROUTE}]
    import_id = send(api, csv_of(rows)).json()["id"]
    chunk, deaths = import_worker._apply_chunk, []

    def die(order: Import, *rest: Any) -> None:
        if order.done == 2:
            deaths.append(order.done)
            raise SystemExit  # as abrupt as a thread can end
        chunk(order, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(import_worker, "_chunk", die)
        with pytest.raises(SystemExit):
            import_worker.apply(uuid.UUID(import_id))
    half = get_import(api, import_id)
    first_keys = {name: each.pk for name, each in shipments_by_reference(house).items()}

    assert import_worker.requeue_stalled_batch() == 1
    import_worker.work_batch()

    done = get_import(api, import_id)
    assert (half["state"], half["progress"]["done"], len(first_keys), deaths) == ("running", 2, 2, [2])
    assert (done["state"], done["progress"]) == ("succeeded", {"done": 6, "total": 6})
    assert done["counts"] == {"created": 5, "updated": 0, "unchanged": 0, "failed": 1}
    assert row_errors(done)[7] == [("Reference", "repeated")]
    assert [entry["row"] for entry in done["rows"]] == [2, 3, 4, 5, 6, 7]
    assert {name: each.seq for name, each in shipments_by_reference(house).items()} == dict.fromkeys(
        [f"A-{at}" for at in range(5)], 1
    )
    assert {name: shipments_by_reference(house)[name].pk for name in first_keys} == first_keys
    outcomes = AuditEntry.objects.filter(organization=house, entity="import").order_by("at", "id")
    assert [each.outcome for each in outcomes] == ["started", "done"]


def test_one_that_is_cancelled_meanwhile_keeps_whole_chunks(
    api: Api, dispatcher: Subject, house: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_worker, "CHUNK", 2)
    import_id = send(api, csv_of([{"Reference": f"A-{at}", **ROUTE} for at in range(6)])).json()["id"]
    chunk = import_worker._apply_chunk

    def cancelled_behind_the_first(order: Import, *rest: Any) -> None:
        if order.done == 2:
            import_jobs.cancel(by=dispatcher, now=timezone.now(), import_id=order.pk)
        chunk(order, *rest)

    monkeypatch.setattr(import_worker, "_chunk", cancelled_behind_the_first)

    import_worker.work_batch()

    done = get_import(api, import_id)
    assert (done["state"], done["counts"]["created"], sorted(shipments_by_reference(house))) == (
        "cancelled",
        2,
        ["A-0", "A-1"],
    )
    assert ImportedRow.objects.filter(import_id=import_id).count() == 2


def test_who_has_lost_the_right_meanwhile_changes_nothing(
    api: Api, house: Organization, dispatcher: Subject
) -> None:
    import_id = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shipments_membership SET role = 'auditor' WHERE user_id = %s", [dispatcher.user_id])

    import_worker.work_batch()

    done = get_import(Api(dispatcher), import_id)
    assert (done["state"], shipments_by_reference(house)) == ("failed", {})
    assert "may not" in done["error"]


def test_two_files_with_the_same_references_at_once_make_each_once(house: Organization) -> None:
    """Both cross each other's locks: every shipment is there once, booked by one of them."""
    rows = [{"Reference": f"A-{at}", **ROUTE} for at in range(40)]
    apis = [Api(factories.member(house, "dispatcher")) for _ in range(2)]
    ids = [send(api, csv_of(order)).json()["id"] for api, order in zip(apis, (rows, rows[::-1]), strict=True)]

    def run(import_id: str) -> None:
        try:
            import_worker.apply(uuid.UUID(import_id))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(own,)) for own in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(shipments_by_reference(house)) == sorted(row["Reference"] for row in rows)
    reports = [get_import(api, own) for api, own in zip(apis, ids, strict=True)]
    assert {report["state"] for report in reports} == {"succeeded"}
    assert [sum(report["counts"][name] for report in reports) for name in ("created", "unchanged")] == [40, 40]
    assert {each.seq for each in shipments_by_reference(house).values()} == {1}


def test_old_reports_are_forgotten(api: Api, settings: Any) -> None:
    import_id = run_import(api, csv_of([{"Reference": "A-1", **ROUTE}]))["id"]
    other = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]
    Import.objects.filter(pk__in=[import_id, other]).update(created_at=datetime(2020, 1, 1, tzinfo=UTC))

    while import_worker.purge_batch(timezone.now()):
        pass

    assert (api.get(f"/api/imports/{import_id}").status_code, get_import(api, other)["state"]) == (404, "queued")
    assert not ImportedRow.objects.filter(import_id=import_id).exists()
