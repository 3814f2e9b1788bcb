"""Exports in the background: ordered, written whole, taken in parts, cancelled, cleared away."""

import asyncio
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test import AsyncClient
from django.utils import timezone

from exports import files, formats, orders, signals, work
from exports.formats import Format, Sheet
from exports.models import Export, Run
from shipments.access import Subject
from shipments.models import ApiKey, AuditEntry, Organization
from shipments.selectors import live
from tests import factories
from tests.exports.files import take, token
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "folder")
State = Export.State


@pytest.fixture
def folder(tmp_path: Path, settings: Any, committed: None) -> Path:
    """A folder for this test's files, and a queue without other tests' orders."""
    Export.objects.filter(state__in=["queued", "running"]).update(state=State.CANCELLED)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
    settings.EXPORT_DIR = tmp_path / "exports"
    return tmp_path / "exports"


@pytest.fixture
def house(committed: None) -> Organization:
    return factories.organization()


@pytest.fixture
def dispatcher(house: Organization) -> Subject:
    return factories.member(house, "dispatcher")


@pytest.fixture
def api(dispatcher: Subject) -> Api:
    return Api(dispatcher)


def order(api: Api, **body: Any) -> dict[str, Any]:
    response = api.post("/api/exports", {"report": "shipments", "format": "csv", **body})
    assert (response.status_code, response.content) == (202, response.content)
    found: dict[str, Any] = response.json()
    assert response["Location"] == f"/api/exports/{found['id']}"
    return found


def ordered(by: Subject, **body: Any) -> Export:
    told = {"report": "shipments", "format": "csv", "filters": {}} | body
    return orders.order(by=by, now=timezone.now(), **told)


def look(api: Api, export: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/api/exports/{export['id']}").json()
    return found


def download(by: Subject, export: dict[str, Any], **headers: str) -> Any:
    """This will take the file, or a part of it, in an event loop of its own."""

    async def ask() -> Any:
        try:
            response = await AsyncClient().get(f"/api/exports/{export['id']}/file", headers=sent)
            body = b"".join([part async for part in response]) if response.streaming else response.content
            return response, body
        finally:
            await live.close()

    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent["Authorization"] = f"Bearer {token(by)}"
    return asyncio.run(ask())


def test_what_is_ordered_is_written_and_can_be_taken(api: Api, dispatcher: Subject, folder: Path) -> None:
    for _ in range(3):
        factories.booked(dispatcher)
    export = order(api, filters={"status": ["booked", "draft"], "limit": 2}, fields=["reference", "status"])
    queued = look(api, export)

    assert work.work_batch() == 1

    done = look(api, export)
    response, body = download(dispatcher, export)
    assert (queued["state"], queued["progress"], queued["file"]) == ("queued", {"done": 0, "total": None}, None)
    assert (done["state"], done["progress"]) == ("succeeded", {"done": 2, "total": 2})
    assert (done["filters"], done["fields"]) == ({"status": "booked,draft", "limit": "2"}, ["reference", "status"])
    assert (done["size"], done["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert done["file"] == f"/api/exports/{export['id']}/file"
    assert (response.status_code, response["X-Freight-Rows"], response["Content-Type"]) == (
        200, "2", "text/csv; charset=utf-8",
    )  # fmt: skip
    assert (body.splitlines()[0], body.count(b"\n")) == (b"Reference,Status", 3)
    assert [path.name for path in folder.iterdir()] == [f"{export['id']}-1.csv"]
    assert [each["id"] for each in api.get("/api/exports").json()["results"]] == [export["id"]]


@pytest.mark.parametrize("kind", ["xlsx", "json", "ndjson"])
def test_every_format_can_be_ordered(api: Api, dispatcher: Subject, kind: str) -> None:
    factories.booked(dispatcher)
    export = order(api, format=kind)

    work.work_batch()

    assert (look(api, export)["state"], look(api, export)["progress"]) == ("succeeded", {"done": 1, "total": 1})
    assert len(download(dispatcher, export)[1]) == look(api, export)["size"]


@pytest.mark.parametrize(
    ("header", "status", "slice_"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=5-99999999", 206, slice(5, None)),
        ("bytes=99999999-", 416, slice(0, 0)),
        ("bytes=9-5", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("rows=0-1", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
    ],
)
def test_a_file_comes_in_parts(api: Api, dispatcher: Subject, header: str, status: int, slice_: slice) -> None:
    factories.booked(dispatcher)
    export = order(api)
    work.work_batch()
    _, whole = download(dispatcher, export)

    response, part = download(dispatcher, export, Range=header)

    assert (response.status_code, part) == (status, whole[slice_])
    if status == 206:
        start = slice_.start % len(whole)
        assert response["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(whole)}"


def test_a_part_of_another_file_is_not_continued(api: Api, dispatcher: Subject) -> None:
    export = order(api)
    work.work_batch()

    response, whole = download(dispatcher, export, Range="bytes=5-", If_Range='"another"')
    again, rest = download(dispatcher, export, Range="bytes=5-", If_Range=response["ETag"])

    assert (response.status_code, again.status_code, rest) == (200, 206, whole[5:])


def test_a_third_one_at_a_time_is_refused(api: Api, dispatcher: Subject) -> None:
    first, _ = order(api), order(api)

    refused = api.post("/api/exports", {"report": "shipments", "format": "csv"})
    api.delete(f"/api/exports/{first['id']}")
    allowed = api.post("/api/exports", {"report": "shipments", "format": "csv"})

    assert (refused.status_code, "Retry-After" in refused, allowed.status_code) == (429, True, 202)


def test_orders_at_once_keep_to_two(dispatcher: Subject) -> None:
    outcomes = []
    gate = threading.Barrier(5)

    def one() -> None:
        gate.wait(10)
        try:
            ordered(dispatcher)
            outcomes.append("ordered")
        except orders.TooMany:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["ordered", "ordered", "refused", "refused", "refused"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"report", "format"}),
        ({"report": "nothing", "format": "csv"}, {"report"}),
        ({"report": "shipments", "format": "exe"}, {"format"}),
        ({"report": "shipments", "format": "csv", "filters": {"sort": "x"}}, {"sort"}),
        ({"report": "shipments", "format": "csv", "filters": {"status": {}}}, {"filters.status"}),
        ({"report": "shipments", "format": "csv", "filters": "x"}, {"filters"}),
        ({"report": "shipments", "format": "csv", "fields": ["nme"]}, {"fields"}),
        ({"report": "shipments", "format": "csv", "fields": []}, {"fields"}),
        ({"report": "shipments", "format": "json", "filters": {"bom": 1}}, {"bom"}),
        ({"report": "shipments", "format": "csv", "owner": "x"}, {"owner"}),
        (b"[]", {""}),
    ],
)
def test_what_cannot_be_ordered_is_named(api: Api, body: Any, fields: set[str]) -> None:
    response = api.post("/api/exports", body)

    assert response.status_code == 400
    assert {error["field"] for error in response.json()["errors"]} == fields


def test_an_export_is_its_owners_alone(api: Api, house: Organization) -> None:
    export = order(api)
    others = [factories.member(house, "admin"), factories.member(factories.organization(), "dispatcher")]

    for other in others:
        theirs = Api(other)
        path = f"/api/exports/{export['id']}"
        assert [theirs.get(path).status_code, theirs.delete(path).status_code] == [404, 404]
        assert theirs.get(f"{path}/file").status_code == 404
        assert theirs.get("/api/exports").json() == {"results": []}


def test_who_may_not_export_may_not_order(house: Organization) -> None:
    driver = Api(factories.member(house, "driver"))
    dispatcher = Api(factories.member(house, "dispatcher"))

    assert driver.post("/api/exports", {"report": "shipments", "format": "csv"}).status_code == 403
    assert dispatcher.post("/api/exports", {"report": "audit", "format": "csv"}).status_code == 403


def test_before_it_is_done_there_is_no_file(api: Api, dispatcher: Subject) -> None:
    export = order(api)

    response, _ = download(dispatcher, export)

    assert (response.status_code, response["Content-Type"]) == (409, "application/problem+json")


def test_a_cancelled_one_is_not_written(api: Api, dispatcher: Subject, folder: Path) -> None:
    export = order(api)

    answers = [api.delete(f"/api/exports/{export['id']}").status_code for _ in range(2)]
    work.work_batch()

    assert (answers, look(api, export)["state"]) == ([204, 204], "cancelled")
    assert not folder.exists() or list(folder.iterdir()) == []
    assert download(dispatcher, export)[0].status_code == 409


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A format that does not end until its reading is cancelled."""
    begun = threading.Event()

    def write(sheet: Sheet) -> Iterator[bytes]:
        yield b"begun"
        begun.set()
        if not sheet.reading.cancelled.wait(30):
            raise AssertionError("it was not cancelled")
        raise OSError("nobody wants it")

    monkeypatch.setitem(formats._formats, "endless", Format("endless", "text/plain", "csv", write))
    return begun


def test_one_that_is_being_written_is_stopped(
    dispatcher: Subject, house: Organization, endless: threading.Event, folder: Path
) -> None:
    factories.booked(dispatcher)
    export = ordered(dispatcher, format="endless")
    writing = threading.Thread(target=work.work_batch)
    writing.start()
    assert endless.wait(10)

    orders.cancel(by=dispatcher, now=timezone.now(), export_id=export.pk)

    writing.join(10)
    export.refresh_from_db()
    assert (writing.is_alive(), export.state, list(folder.iterdir())) == (False, "cancelled", [])
    entries = AuditEntry.objects.filter(organization=house, entity_id=str(export.pk)).order_by("at", "id")
    assert [entry.outcome for entry in entries] == ["started", "cancelled"]


def test_a_removed_file_is_gone(api: Api, dispatcher: Subject, folder: Path) -> None:
    export = order(api)
    work.work_batch()

    answer = api.delete(f"/api/exports/{export['id']}")

    assert (answer.status_code, look(api, export)["state"], list(folder.iterdir())) == (204, "expired", [])
    assert download(dispatcher, export)[0].status_code == 410


def test_files_are_kept_for_their_time(api: Api, dispatcher: Subject, folder: Path) -> None:
    old, new = order(api), order(api)
    work.work_batch()
    work.work_batch()
    Export.objects.filter(pk=old["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    work.clear_batch(timezone.now())

    assert (look(api, old)["state"], look(api, new)["state"]) == ("expired", "succeeded")
    assert [path.name for path in folder.iterdir()] == [f"{new['id']}-1.csv"]


def test_what_killed_attempts_left_is_swept_away_in_time(folder: Path) -> None:
    files.folder()
    for name, age in (("old.csv.part", 7200), ("new.csv.part", 0), ("kept.csv", 7200)):
        path = folder / name
        path.write_bytes(b"x")
        os.utime(path, (path.stat().st_mtime - age,) * 2)

    assert files.sweep({"kept.csv"}) == 1
    assert {path.name for path in folder.iterdir()} == {"new.csv.part", "kept.csv"}


def test_one_whose_worker_was_killed_is_begun_again(api: Api, dispatcher: Subject, house: Organization) -> None:
    factories.booked(dispatcher)
    export = order(api)
    # As a worker leaves it that is killed in the midst: running, begun in the audit, its lock free.
    Export.objects.filter(pk=export["id"]).update(
        state=State.RUNNING, attempt=1, run_id=(kept := work.Record(
            by=dispatcher, report="shipments", format="csv", filters={}, of=uuid.UUID(export["id"])
        )).id,
    )  # fmt: skip
    kept.start()

    rescued = work.rescue_batch()
    work.work_batch()

    assert (rescued, look(api, export)["state"]) == (1, "succeeded")
    assert Export.objects.get(pk=export["id"]).file.endswith("-2.csv")
    entries = AuditEntry.objects.filter(organization=house, entity_id=export["id"]).order_by("at", "id")
    assert [entry.outcome for entry in entries] == ["started", "failed", "started", "done"]
    assert set(Run.objects.filter(export_id=export["id"]).values_list("outcome", flat=True)) == {"failed", "done"}


def test_one_that_is_being_written_is_not_begun_again(dispatcher: Subject, endless: threading.Event) -> None:
    factories.booked(dispatcher)
    export = ordered(dispatcher, format="endless")
    writing = threading.Thread(target=work.work_batch)
    writing.start()
    assert endless.wait(10)

    work.rescue_batch()

    export.refresh_from_db()
    assert (export.state, export.attempt) == ("running", 1)
    orders.cancel(by=dispatcher, now=timezone.now(), export_id=export.pk)
    writing.join(10)


def test_one_that_kills_its_worker_each_time_is_given_up(api: Api, dispatcher: Subject) -> None:
    export = order(api)
    Export.objects.filter(pk=export["id"]).update(state=State.RUNNING, attempt=work.MOST_ATTEMPTS)

    work.rescue_batch()

    assert look(api, export)["state"] == "failed"
    assert work.work_batch() in {0, 1}  # its job finds nothing to do
    assert look(api, export)["state"] == "failed"


def test_who_has_lost_the_right_meanwhile_gets_nothing(dispatcher: Subject, folder: Path) -> None:
    keyed = replace(dispatcher, scopes=frozenset({"exports:read"}))
    token(dispatcher)
    key = ApiKey.objects.filter(user_id=dispatcher.user_id).latest("created_at")
    export = ordered(replace(keyed, key_id=key.pk))
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())

    work.work_batch()

    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "Whoever ordered it has no access any more.")
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_writer_that_breaks_leaves_no_file(
    api: Api, dispatcher: Subject, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(sheet: Sheet) -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("broken")

    monkeypatch.setitem(formats._formats, "csv", Format("csv", "text/csv", "csv", write))
    export = order(api)

    work.work_batch()

    told = look(api, export)
    assert (told["state"], told["file"], list(folder.iterdir())) == ("failed", None, [])
    assert "broken" not in told["error"]


def test_progress_is_told_up_to_the_count(dispatcher: Subject) -> None:
    for _ in range(3):
        factories.booked(dispatcher)
    told: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        told.append(said)

    signals.progressed.connect(hear)
    try:
        export = ordered(dispatcher)
        work.work_batch()
    finally:
        signals.progressed.disconnect(hear)

    last = told[-1]
    assert {each["export_id"] for each in told} == {export.pk}
    assert (last["state"], last["done"], last["total"]) == ("succeeded", 3, 3)
    assert (last["organization_id"], last["owner"]) == (dispatcher.organization_id, dispatcher.user_id)
    assert [each["done"] for each in told] == sorted(each["done"] for each in told)


def test_the_audit_names_who_ordered_and_who_took(api: Api, dispatcher: Subject, house: Organization) -> None:
    export = order(api)
    work.work_batch()
    download(dispatcher, export)

    entries = AuditEntry.objects.filter(organization=house, entity="export").order_by("at", "id")
    assert [(entry.action, entry.outcome, entry.actor_id) for entry in entries] == [
        ("export", "started", dispatcher.user_id),
        ("export", "done", dispatcher.user_id),
        ("download", "done", dispatcher.user_id),
    ]
    assert {entry.entity_id for entry in entries} == {export["id"]}


def test_a_file_by_a_path_of_its_own_is_the_same(api: Api, dispatcher: Subject) -> None:
    factories.booked(dispatcher)
    export = order(api)
    work.work_batch()

    assert download(dispatcher, export)[1] == take(dispatcher).body
    assert orjson.loads(api.get("/api/exports").content)["results"][0]["state"] == "succeeded"
