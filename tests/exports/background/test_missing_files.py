"""A file that another host wrote, into a folder that this one does not share, is not called expired."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from exports import metrics
from exports.background import export_worker, missing_files
from exports.models import Export
from monitoring.prometheus import multiprocess, registrations
from shipments.auth.subjects import Subject
from tests.exports.export_job_client import create_export, download, get_export
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "export_dir")


@pytest.fixture
def export(api: Api) -> dict[str, Any]:
    """Finish an export, long enough ago for every host to see its file."""
    Export.objects.filter(state=Export.State.SUCCEEDED).update(state=Export.State.EXPIRED)
    export = create_export(api)
    export_worker.work_batch()
    Export.objects.filter(pk=export["id"]).update(finished_at=timezone.now() - timedelta(minutes=5))
    return export


def test_a_host_without_the_file_says_so(
    api: Api, dispatcher: Subject, export: dict[str, Any], export_dir: Path, settings: Any, tmp_path: Path
) -> None:
    settings.EXPORT_DIR = tmp_path / "other-host"

    response, body = download(dispatcher, export)

    assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
    assert b"its file is not on the server that answers; another one may have it" in body
    assert get_export(api, export)["state"] == "succeeded"
    settings.EXPORT_DIR = export_dir
    assert download(dispatcher, export)[0].status_code == 200


def test_the_health_of_a_host_without_files_says_so(
    export: dict[str, Any], settings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert missing_files.count() == 0
    settings.EXPORT_DIR = tmp_path / "other-host"

    assert missing_files.count() == 1
    with pytest.raises(SystemExit):
        call_command("status")
    assert missing_files.describe(1) in capsys.readouterr().err


@pytest.mark.parametrize(("role", "expected"), [("api", 1), ("ws", 0)])
def test_only_hosts_that_write_or_serve_files_need_them(
    export: dict[str, Any], settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, expected: int
) -> None:
    settings.EXPORT_DIR = tmp_path / "other-host"
    # A host without the processes of other tests.
    host = tmp_path / "host"
    host.mkdir()
    (host / "lock").touch()
    monkeypatch.setattr(multiprocess._state, "folder", host)
    registrations.register(role)
    try:
        missing_files.sample()
    finally:
        registrations.unregister()

    assert metrics.missing_files._value.get() == expected


def test_a_file_that_is_new_or_expired_is_not_missed(export: dict[str, Any], settings: Any, tmp_path: Path) -> None:
    settings.EXPORT_DIR = tmp_path / "other-host"
    Export.objects.filter(pk=export["id"]).update(finished_at=timezone.now())

    assert missing_files.count() == 0

    Export.objects.filter(pk=export["id"]).update(
        state=Export.State.EXPIRED, finished_at=timezone.now() - timedelta(minutes=5)
    )
    assert missing_files.count() == 0
