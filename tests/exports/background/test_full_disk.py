"""An export that finds no room on the disk ends with a clear reason, leaves nothing behind, and can be repeated."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exports.background import export_worker
from shipments.auth.subjects import Subject
from tests import factories, small_disk
from tests.exports.export_job_client import create_export, download, get_export
from tests.shipments.api.client import Api

pytestmark = pytest.mark.usefixtures("committed", "export_dir")
NO_ROOM = "The server's disk has no room for the file; order it again when the operators have made room."


@pytest.fixture
def disk(tmp_path: Path, settings: Any, export_dir: Path) -> Iterator[Path]:
    """Mount a small disk at EXPORT_DIR."""
    with small_disk.mounted(tmp_path / "disk", "1m") as folder:
        settings.EXPORT_DIR = folder
        yield folder


@pytest.mark.parametrize(("file_format", "scratch_is_full"), [("csv", False), ("xlsx", False), ("xlsx", True)])
def test_a_full_disk_ends_the_export(
    api: Api,
    dispatcher: Subject,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    file_format: str,
    scratch_is_full: bool,
) -> None:
    for number in range(40):
        factories.booked_shipment(dispatcher, notes=f"{number} {'x' * 200}")
    ballast = small_disk.fill(disk, leave=4096)
    if scratch_is_full:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
    export = create_export(api, format=file_format, fields=["reference", "notes", "createdAt", "updatedAt"])

    export_worker.work_batch()

    failed = get_export(api, export)
    assert (failed["state"], failed["error"], failed["file"]) == ("failed", NO_ROOM, None)
    assert list(disk.iterdir()) == [ballast]
    assert download(dispatcher, export)[0].status_code == 409

    ballast.unlink()
    repeated = create_export(api, format=file_format)
    export_worker.work_batch()
    assert get_export(api, repeated)["state"] == "succeeded"
