"""One organisation uploads hostile files side by side: they are refused at once, and others are served."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shipments.auth.subjects import Subject
from tests import factories
from tests.drills.harness.presets import journey_stage
from tests.drills.harness.process import api
from tests.drills.harness.product_stage import ProductStage
from tests.exports.export_client import token
from tests.exports.file_imports.test_import_files import REFUSED_AT_ONCE, workbook_of
from tests.exports.import_client import PATH, TYPES

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
_SCOPES = ("shipments:read", "shipments:write")
_UPLOADERS = 6
# Takes a renderer some seconds: within the limits, and of no use.
_SLOW = workbook_of((b"<row>" + b"<c/>" * 16_000 + b"</row>") * 600)
_WORKBOOK = REFUSED_AT_ONCE["a row that no sheet has"][0]
_LABELS = 5


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[ProductStage]:
    limits = {"RATE_LIMIT_GENERAL_MAX": "100000", "RATE_LIMIT_EXPORT_MAX": "100000"}
    with journey_stage(tmp_path / "stage", [api()], **limits) as stage:
        yield stage


def client(stage: ProductStage, by: Subject) -> httpx.Client:
    return httpx.Client(
        base_url=stage.url, timeout=60, headers={"Authorization": f"Bearer {token(by, scopes=_SCOPES)}"}
    )


def upload(http: httpx.Client, raw: bytes) -> tuple[int, str, float]:
    """Return the status, the code of the error and the seconds that the answer took."""
    began = time.monotonic()
    answer = http.post(f"{PATH}?dryRun=true", content=raw, headers={"Content-Type": TYPES["xlsx"]})
    errors = answer.json().get("errors") or [{"code": answer.json().get("code", "")}]
    return answer.status_code, errors[0]["code"], time.monotonic() - began


def test_hostile_uploads_hold_up_nobody_else(stage: ProductStage) -> None:
    attacker, victim = (factories.member(factories.organization(), "dispatcher") for _ in range(2))
    references = [factories.booked_shipment(victim).reference for _ in range(_LABELS + 1)]
    with client(stage, attacker) as hostile, client(stage, victim) as http:
        upload(hostile, _WORKBOOK)  # both kinds of renderers are started
        assert http.get(f"/api/shipments/{references[0]}/documents/label.pdf").status_code == 200
        refusals = [upload(hostile, _WORKBOOK) for _ in range(3)]
        stopped = threading.Event()
        statuses: list[int] = []

        def flood() -> None:
            with httpx.Client(base_url=stage.url, timeout=60, headers=hostile.headers) as own:
                while not stopped.is_set():
                    statuses.append(upload(own, _SLOW)[0])

        threads = [threading.Thread(target=flood) for _ in range(_UPLOADERS)]
        for thread in threads:
            thread.start()
        label_seconds, table_seconds = [], []
        try:
            for reference in references[1:]:
                began = time.monotonic()
                label = http.get(f"/api/shipments/{reference}/documents/label.pdf")
                label_seconds.append(time.monotonic() - began)
                assert (label.status_code, label.headers["Content-Type"]) == (200, "application/pdf")
                table_seconds.append(upload(http, _WORKBOOK)[2])
        finally:
            stopped.set()
            for thread in threads:
                thread.join(60)

    assert {(status, code) for status, code, _ in refusals} == {(400, "too_much")}
    assert min(seconds for _, _, seconds in refusals) < 1.0
    assert sorted(label_seconds)[len(label_seconds) // 2] < 3.0, label_seconds
    # An import of another organisation has a renderer of its own, too.
    assert sorted(table_seconds)[len(table_seconds) // 2] < 5.0, table_seconds
    assert set(statuses) <= {400, 429}
