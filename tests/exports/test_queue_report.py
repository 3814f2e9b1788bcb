"""What is queued is told: as metrics, in the report, and as a line of health where nothing works the queue."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone

from exports import queue_report
from exports.models import Export
from shipments.auth.subjects import Subject
from tests.drills.harness.presets import journey_stage
from tests.drills.harness.process import api, relay
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import wait_until
from tests.exports.export_job_client import create_export_job

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed", "export_dir")]
# Samples are taken every five seconds, by a process that starts on a loaded machine.
_SECONDS = 40.0


@pytest.fixture
def stage(tmp_path: Path, export_dir: Path) -> Iterator[ProductStage]:
    """Run an api Daphne, and declare a relay that is not started."""
    with journey_stage(tmp_path / "stage", [api()], EXPORT_DIR=str(export_dir)) as stage:
        stage.declare(relay())
        yield stage


def get(stage: ProductStage, path: str) -> Any:
    return httpx.get(f"{stage.url}{path}", timeout=10)


def issues(stage: ProductStage) -> list[str]:
    lines: list[str] = get(stage, "/api/metrics/health").json()["issues"]
    return [line for line in lines if "backgroundJobs" in line]


def test_an_order_that_nobody_works_is_told_until_it_is_done(stage: ProductStage, dispatcher: Subject) -> None:
    ordered_at = timezone.now() - timedelta(seconds=queue_report.UNWORKED_SECONDS + 60)
    export = create_export_job(dispatcher)
    Export.objects.filter(pk=export.pk).update(created_at=ordered_at)

    wait_until(lambda: issues(stage), seconds=_SECONDS)
    queued_line = issues(stage)[0]
    queue = get(stage, "/api/metrics/exports").json()["queues"]["exports"]
    metrics = get(stage, "/api/metrics").text
    stage["relay"].launch()
    wait_until(lambda: not issues(stage), seconds=_SECONDS)

    assert queued_line.startswith("backgroundJobs: exports: 1 queued, the oldest for ")
    assert queued_line.endswith(" s, and nothing works the queue: does manage.py relay run?")
    assert (queue["queued"], queue["running"], queue["oldestQueuedSeconds"] > 90) == (1, 0, True)
    assert 'background_jobs{kind="exports",state="queued"} 1.0' in metrics
    assert 'background_job_oldest_queued_seconds{kind="imports"} 0.0' in metrics
    export.refresh_from_db()
    assert export.state == "succeeded"


@pytest.mark.parametrize(
    ("queued", "running", "oldest", "problem"),
    [
        (0, 0, 0, ""),
        (1, 0, 29, ""),
        (
            1,
            0,
            31,
            "imports: 1 queued, the oldest for 31 s, and nothing works the queue: does manage.py relay run?",
        ),
        (4, 2, 899, ""),
        (4, 2, 901, "imports: 4 queued, the oldest for 901 s"),
    ],
)
def test_the_bounds_of_the_lines(queued: int, running: int, oldest: int, problem: str) -> None:
    queue = {"queued": queued, "running": running, "oldestQueuedSeconds": oldest}

    assert queue_report._problem("imports", queue) == problem
