"""Connection pools in detailed health: one with no connection left is an issue that names its process."""

from typing import Any

import pytest

from monitoring.health import processes
from monitoring.runtime import hosts


def _status(process: str, *, used: int, waiting: int, exhausted_seconds: int) -> dict[str, Any]:
    pool = {"used": used, "idle": 10 - used, "waiting": waiting, "exhaustedSeconds": exhausted_seconds}
    return {"process": process, "host": "a", "pool": pool}


def test_a_pool_with_no_connection_left_is_an_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = _status("api-1", used=10, waiting=32, exhausted_seconds=5)
    statuses = [busy, _status("api-2", used=3, waiting=0, exhausted_seconds=0), {"process": "relay-1", "host": "a"}]
    monkeypatch.setattr(hosts, "process_statuses", lambda: statuses)

    assert processes.pool_detail() == {
        "status": "warning", "used": 13, "idle": 7, "waiting": 32,
        "reason": "api-1 on a has 10 of 10 connections in use, 32 requests wait",
    }  # fmt: skip

    statuses.remove(busy)
    assert processes.pool_detail() == {"status": "ok", "used": 3, "idle": 7, "waiting": 0}
