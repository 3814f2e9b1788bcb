"""Several hosts that share a Redis: sums over all, the dead vanish, and without Redis a host says what it lacks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freight.embedded import layout
from tests.drills.harness.backing_services import ValkeyService
from tests.drills.harness.waiting import comes_true
from tests.monitoring.reports.reporting_process import ReportingProcess

# A host that says nothing for ten seconds is gone; the rest is for a crowded machine.
EXPIRY_SECONDS = 10 + 20


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[ValkeyService, str]]:
    """A Valkey of its own that may be killed, and its URL."""
    place = layout.at(tmp_path / "home")
    place.make_folders()
    made = ValkeyService(place)
    made.launch()
    try:
        made.wait_ready()
        yield made, place.endpoints.redis_url
    finally:
        made.stop()


def socket_summary(process: ReportingProcess) -> dict[str, Any]:
    """Return what a process tells of the sockets of all hosts."""
    body = process.report("websocket")
    return {
        "active": body["activeConnections"],
        "total": body["totalConnections"],
        "hosts": [each["host"] for each in body["processes"]],
        "partial": body.get("partial", False),
    }


def test_reports_are_of_all_hosts_that_live_and_say_when_they_cannot_be(
    tmp_path: Path, redis: tuple[ValkeyService, str]
) -> None:
    hints, url = redis
    both = {"active": 7, "total": 7, "hosts": ["a", "b"], "partial": False}
    alone = {"active": 3, "total": 3, "hosts": ["a"], "partial": False}
    with ReportingProcess(tmp_path, "a", url, 3) as one, ReportingProcess(tmp_path, "b", url, 4) as other:
        for each in (one, other):
            assert comes_true(
                60, lambda by=each: socket_summary(by) | {"hosts": sorted(socket_summary(by)["hosts"])} == both
            )

        hints.kill()
        assert comes_true(20, lambda: socket_summary(one) == alone | {"partial": True})
        assert one.report("performance")["partial"] is True
        assert one.report("cache")["partial"] is True
        hints.launch()
        hints.wait_ready()
        assert comes_true(20, lambda: socket_summary(one)["active"] == 7 and not socket_summary(one)["partial"])

        other.process.kill()
        assert comes_true(EXPIRY_SECONDS, lambda: socket_summary(one) == alone)
