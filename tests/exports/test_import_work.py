"""The workers of imports: nothing twice, nothing half, whoever is killed, cancelled or in the way."""

import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from exports.imports import orders, work
from exports.models import Import, ImportedRow
from shipments.access import Subject
from shipments.models import AuditEntry, Organization
from tests import factories
from tests.exports.sheets import ROUTE, applied, csv_of, judged, look, of, send
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "folder")


def test_one_whose_worker_was_killed_goes_on_where_it_stood(
    api: Api, house: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CHUNK", 2)
    rows = [{"Reference": f"A-{at}", **ROUTE} for at in range(5)] + [{"Reference": "A-0", **ROUTE}]
    own = send(api, csv_of(rows)).json()["id"]
    chunk, told = work._chunk, []

    def die(order: Import, *rest: Any) -> None:
        if order.done == 2:
            told.append(order.done)
            raise SystemExit  # as abrupt as a thread can end
        chunk(order, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(work, "_chunk", die)
        with pytest.raises(SystemExit):
            work.apply(uuid.UUID(own))
    half = look(api, own)
    seen = {name: each.pk for name, each in of(house).items()}

    assert work.rescue_batch() == 1
    work.work_batch()

    done = look(api, own)
    assert (half["state"], half["progress"]["done"], len(seen), told) == ("running", 2, 2, [2])
    assert (done["state"], done["progress"]) == ("succeeded", {"done": 6, "total": 6})
    assert done["counts"] == {"created": 5, "updated": 0, "unchanged": 0, "failed": 1}
    assert judged(done)[7] == [("Reference", "repeated")]
    assert [entry["row"] for entry in done["rows"]] == [2, 3, 4, 5, 6, 7]
    assert {name: each.seq for name, each in of(house).items()} == dict.fromkeys([f"A-{at}" for at in range(5)], 1)
    assert {name: of(house)[name].pk for name in seen} == seen
    outcomes = AuditEntry.objects.filter(organization=house, entity="import").order_by("at", "id")
    assert [each.outcome for each in outcomes] == ["started", "done"]


def test_one_that_is_cancelled_meanwhile_keeps_whole_chunks(
    api: Api, dispatcher: Subject, house: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CHUNK", 2)
    own = send(api, csv_of([{"Reference": f"A-{at}", **ROUTE} for at in range(6)])).json()["id"]
    chunk = work._chunk

    def cancelled_behind_the_first(order: Import, *rest: Any) -> None:
        if order.done == 2:
            orders.cancel(by=dispatcher, now=timezone.now(), import_id=order.pk)
        chunk(order, *rest)

    monkeypatch.setattr(work, "_chunk", cancelled_behind_the_first)

    work.work_batch()

    done = look(api, own)
    assert (done["state"], done["counts"]["created"], sorted(of(house))) == ("cancelled", 2, ["A-0", "A-1"])
    assert ImportedRow.objects.filter(import_id=own).count() == 2


def test_who_has_lost_the_right_meanwhile_changes_nothing(
    api: Api, house: Organization, dispatcher: Subject
) -> None:
    own = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shipments_membership SET role = 'auditor' WHERE user_id = %s", [dispatcher.user_id])

    work.work_batch()

    done = look(Api(dispatcher), own)
    assert (done["state"], of(house)) == ("failed", {})
    assert "may not" in done["error"]


def test_two_files_with_the_same_references_at_once_make_each_once(house: Organization) -> None:
    """Both cross each other's locks: every shipment is there once, booked by one of them."""
    rows = [{"Reference": f"A-{at}", **ROUTE} for at in range(40)]
    apis = [Api(factories.member(house, "dispatcher")) for _ in range(2)]
    ids = [send(api, csv_of(order)).json()["id"] for api, order in zip(apis, (rows, rows[::-1]), strict=True)]

    def run(own: str) -> None:
        try:
            work.apply(uuid.UUID(own))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(own,)) for own in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(of(house)) == sorted(row["Reference"] for row in rows)
    reports = [look(api, own) for api, own in zip(apis, ids, strict=True)]
    assert {report["state"] for report in reports} == {"succeeded"}
    assert [sum(report["counts"][name] for report in reports) for name in ("created", "unchanged")] == [40, 40]
    assert {each.seq for each in of(house).values()} == {1}


def test_old_reports_are_forgotten(api: Api, settings: Any) -> None:
    own = applied(api, csv_of([{"Reference": "A-1", **ROUTE}]))["id"]
    other = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]
    Import.objects.filter(pk__in=[own, other]).update(created_at=datetime(2020, 1, 1, tzinfo=UTC))

    while work.forget_batch(timezone.now()):
        pass

    assert (api.get(f"/api/imports/{own}").status_code, look(api, other)["state"]) == (404, "queued")
    assert not ImportedRow.objects.filter(import_id=own).exists()
