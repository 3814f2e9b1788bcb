"""`manage.py status`: one page of what runs, and exit status 1 with a sentence for what does not."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from monitoring.prometheus import hosts
from monitoring.prometheus.snapshots import HostSnapshot

pytestmark = pytest.mark.django_db


def _status(process: str, age: float) -> dict[str, Any]:
    return {"process": process, "host": "a", "pid": 7, "heartbeatAge": age, "performance": {"rss": 150 * 1024**2}}


def _run() -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("status", stdout=out, stderr=err, no_color=True)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_where_all_is_well_it_shows_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = [_status("api-1", 0.2), _status("relay-1", 0.4)]
    monkeypatch.setattr(hosts, "read_hosts", lambda: [HostSnapshot("a", processes=processes)])

    status, out, err = _run()

    assert (status, err) == (0, "")
    for words in (
        "api-1",
        "150 MB",
        "heard 0.4 s ago",
        "PostgreSQL ",
        "all applied",
        "epoch",
        "exports",
        "imports",
    ):
        assert words in out
    assert re.search(r"size +\d+ (kB|MB)\n", out)


def test_what_hangs_or_is_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.EXPECTED_PROCESSES = {"ws": 2}
    processes = [_status("ws-1", 0.1), _status("relay-1", 40.0)]
    monkeypatch.setattr(hosts, "read_hosts", lambda: [HostSnapshot("a", processes=processes)])

    status, _, err = _run()

    assert status == 1
    assert err.splitlines() == [
        "relay-1 on a hangs: silent for 40 s.",
        "relay: none of 1 runs.",
        "ws: 1 of 2 runs.",
    ]


def test_without_redis_it_says_so(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    status, out, err = _run()

    assert status == 1
    assert "Redis at REDIS_URL does not answer (ConnectionError): only this host's processes are shown." in err
    assert "all applied" in out
