"""Background exports over the API: order, progress, download with ranges, cancel."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection

from exports.background import export_jobs, export_worker
from exports.models import Export
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization
from tests import factories
from tests.exports.export_client import fetch_file
from tests.exports.export_job_client import create_export, create_export_job, download, get_export
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "export_dir")
State = Export.State


def test_an_export_is_ordered_written_and_downloaded(api: Api, dispatcher: Subject, export_dir: Path) -> None:
    for _ in range(3):
        factories.booked_shipment(dispatcher)
    export = create_export(api, filters={"status": ["booked", "draft"], "limit": 2}, fields=["reference", "status"])
    queued = get_export(api, export)

    assert export_worker.work_batch() == 1

    done = get_export(api, export)
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
    assert [path.name for path in export_dir.iterdir()] == [f"{export['id']}-1.csv"]
    assert [each["id"] for each in api.get("/api/exports").json()["results"]] == [export["id"]]


@pytest.mark.parametrize("kind", ["xlsx", "json", "ndjson"])
def test_every_format_can_be_ordered(api: Api, dispatcher: Subject, kind: str) -> None:
    factories.booked_shipment(dispatcher)
    export = create_export(api, format=kind)

    export_worker.work_batch()

    assert (get_export(api, export)["state"], get_export(api, export)["progress"]) == (
        "succeeded",
        {"done": 1, "total": 1},
    )
    assert len(download(dispatcher, export)[1]) == get_export(api, export)["size"]


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
def test_range_requests(api: Api, dispatcher: Subject, header: str, status: int, slice_: slice) -> None:
    factories.booked_shipment(dispatcher)
    export = create_export(api)
    export_worker.work_batch()
    _, whole = download(dispatcher, export)

    response, part = download(dispatcher, export, Range=header)

    assert (response.status_code, part) == (status, whole[slice_])
    if status == 206:
        start = slice_.start % len(whole)
        assert response["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(whole)}"


def test_if_range_of_another_file_gets_the_whole_file(api: Api, dispatcher: Subject) -> None:
    export = create_export(api)
    export_worker.work_batch()

    response, whole = download(dispatcher, export, Range="bytes=5-", If_Range='"another"')
    again, rest = download(dispatcher, export, Range="bytes=5-", If_Range=response["ETag"])

    assert (response.status_code, again.status_code, rest) == (200, 206, whole[5:])


@pytest.mark.parametrize("wording", ["{tag}", "W/{tag}", '"x", {tag}', "*"])
def test_a_client_that_has_the_file_does_not_get_it_again(api: Api, dispatcher: Subject, wording: str) -> None:
    export = create_export(api)
    export_worker.work_batch()
    first, _ = download(dispatcher, export)

    response, body = download(
        dispatcher, export, Range="bytes=0-9", If_None_Match=wording.format(tag=first["ETag"])
    )
    other, whole = download(dispatcher, export, If_None_Match='"another"')

    assert (response.status_code, body, response["ETag"]) == (304, b"", first["ETag"])
    assert (other.status_code, len(whole)) == (200, int(first["Content-Length"]))
    assert AuditEntry.objects.filter(action="download", entity_id=export["id"]).count() == 2  # not of the 304


def test_a_third_open_export_is_refused(api: Api, dispatcher: Subject) -> None:
    first, _ = create_export(api), create_export(api)

    refused = api.post("/api/exports", {"report": "shipments", "format": "csv"})
    api.delete(f"/api/exports/{first['id']}")
    allowed = api.post("/api/exports", {"report": "shipments", "format": "csv"})

    assert (refused.status_code, "Retry-After" in refused, allowed.status_code) == (429, True, 202)


def test_concurrent_orders_keep_to_the_quota(dispatcher: Subject) -> None:
    outcomes = []
    barrier = threading.Barrier(5)

    def order() -> None:
        barrier.wait(10)
        try:
            create_export_job(dispatcher)
            outcomes.append("ordered")
        except export_jobs.TooManyJobs:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=order) for _ in range(5)]
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
def test_every_invalid_member_is_named(api: Api, body: Any, fields: set[str]) -> None:
    response = api.post("/api/exports", body)

    assert response.status_code == 400
    assert {error["field"] for error in response.json()["errors"]} == fields


def test_an_export_is_visible_to_its_owner_only(api: Api, organization: Organization) -> None:
    export = create_export(api)
    others = [factories.member(organization, "admin"), factories.member(factories.organization(), "dispatcher")]

    for other in others:
        other_api = Api(other)
        path = f"/api/exports/{export['id']}"
        assert [other_api.get(path).status_code, other_api.delete(path).status_code] == [404, 404]
        assert other_api.get(f"{path}/file").status_code == 404
        assert other_api.get("/api/exports").json() == {"results": []}


def test_ordering_needs_the_permissions_of_the_report(organization: Organization) -> None:
    driver = Api(factories.member(organization, "driver"))
    dispatcher = Api(factories.member(organization, "dispatcher"))

    assert driver.post("/api/exports", {"report": "shipments", "format": "csv"}).status_code == 403
    assert dispatcher.post("/api/exports", {"report": "audit", "format": "csv"}).status_code == 403


def test_an_unfinished_export_has_no_file(api: Api, dispatcher: Subject) -> None:
    export = create_export(api)

    response, _ = download(dispatcher, export)

    assert (response.status_code, response["Content-Type"]) == (409, "application/problem+json")


def test_a_cancelled_export_is_not_written(api: Api, dispatcher: Subject, export_dir: Path) -> None:
    export = create_export(api)

    answers = [api.delete(f"/api/exports/{export['id']}").status_code for _ in range(2)]
    export_worker.work_batch()

    assert (answers, get_export(api, export)["state"]) == ([204, 204], "cancelled")
    assert not export_dir.exists() or list(export_dir.iterdir()) == []
    assert download(dispatcher, export)[0].status_code == 409


def test_a_removed_file_is_gone(api: Api, dispatcher: Subject, export_dir: Path) -> None:
    export = create_export(api)
    export_worker.work_batch()

    answer = api.delete(f"/api/exports/{export['id']}")

    assert (answer.status_code, get_export(api, export)["state"], list(export_dir.iterdir())) == (
        204,
        "expired",
        [],
    )
    assert download(dispatcher, export)[0].status_code == 410


def test_order_and_download_are_audited(api: Api, dispatcher: Subject, organization: Organization) -> None:
    export = create_export(api)
    export_worker.work_batch()
    download(dispatcher, export)

    entries = AuditEntry.objects.filter(organization=organization, entity="export").order_by("at", "id")
    assert [(entry.action, entry.outcome, entry.actor_id) for entry in entries] == [
        ("export", "started", dispatcher.user_id),
        ("export", "done", dispatcher.user_id),
        ("download", "done", dispatcher.user_id),
    ]
    assert {entry.entity_id for entry in entries} == {export["id"]}


def test_the_file_is_the_same_as_that_of_a_streamed_export(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)
    export = create_export(api)
    export_worker.work_batch()

    assert download(dispatcher, export)[1] == fetch_file(dispatcher).body
    assert orjson.loads(api.get("/api/exports").content)["results"][0]["state"] == "succeeded"
