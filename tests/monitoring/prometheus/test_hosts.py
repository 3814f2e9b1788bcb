"""Several hosts that share a Redis: sums over all, ended hosts expire, and reports without Redis are partial."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from freight.embedded import layout
from tests.drills.harness.backing_services import ValkeyService
from tests.drills.harness.waiting import comes_true
from tests.monitoring.reports.reporting_process import ReportingProcess

# A silent host expires after ten seconds; the rest is for a busy machine.
EXPIRY_SECONDS = 10 + 20


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[ValkeyService, str]]:
    """Start a Valkey that the test may kill; yields it and its URL."""
    place = layout.at(tmp_path / "home")
    place.make_folders()
    valkey = ValkeyService(place)
    valkey.launch()
    try:
        valkey.wait_ready()
        yield valkey, place.endpoints.redis_url
    finally:
        valkey.stop()


def socket_summary(process: ReportingProcess) -> dict[str, Any]:
    """Return the sockets of all hosts as one process reports them."""
    body = process.report("websocket")
    return {
        "active": body["activeConnections"],
        "total": body["totalConnections"],
        "hosts": [each["host"] for each in body["processes"]],
        "partial": body.get("partial", False),
    }


def reports(by: ReportingProcess, expected: dict[str, Any]) -> bool:
    summary = socket_summary(by)
    return summary | {"hosts": sorted(summary["hosts"])} == expected


def test_reports_cover_all_living_hosts_and_are_partial_without_redis(
    tmp_path: Path, redis: tuple[ValkeyService, str]
) -> None:
    valkey, url = redis
    both = {"active": 7, "total": 7, "hosts": ["a", "b"], "partial": False}
    alone = {"active": 3, "total": 3, "hosts": ["a"], "partial": False}
    with ReportingProcess(tmp_path, "a", url, 3) as one, ReportingProcess(tmp_path, "b", url, 4) as other:
        for each in (one, other):
            assert comes_true(60, partial(reports, each, both))

        valkey.kill()
        assert comes_true(20, lambda: socket_summary(one) == alone | {"partial": True})
        assert one.report("performance")["partial"] is True
        assert one.report("cache")["partial"] is True
        valkey.launch()
        valkey.wait_ready()
        assert comes_true(20, lambda: socket_summary(one)["active"] == 7 and not socket_summary(one)["partial"])

        other.process.kill()
        assert comes_true(EXPIRY_SECONDS, lambda: socket_summary(one) == alone)
