"""The JSON reports below `/api/metrics/`: a registry of functions, each connected by the room that knows."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from monitoring.prometheus.samples import SampleSet
from monitoring.runtime import hosts

Report = Callable[[], Mapping[str, Any]]
_reports: dict[str, Report] = {}


def register(name: str, report: Report) -> None:
    """Answer `/api/metrics/<name>` with what `report` returns, a timestamp and, where it must, `partial`.

    It is called in a request's thread and returns JSON; what it adds up is `now()`, `recent()`, `processes()`.
    """
    _reports[name] = report


def names() -> list[str]:
    """Return the names of all reports."""
    return sorted(_reports)


def render(name: str) -> dict[str, Any]:
    """Make one report; raises KeyError where nobody registered it."""
    body = dict(_reports[name]()) | {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    }
    return body | {"partial": True} if hosts.is_partial else body


def is_partial() -> bool:
    """Tell whether Redis does not answer, so that other hosts are out of sight."""
    return hosts.is_partial


def current_samples() -> SampleSet:
    """Return the numbers of all processes of all hosts: sums since they were first counted."""
    return hosts.current_samples()


def host_samples() -> SampleSet:
    """Return this host's numbers as they were a moment ago: quicker than `now`, it only reads."""
    return hosts.own_snapshot().current


def recent_samples() -> SampleSet:
    """Return by how much those numbers have grown in the last minute."""
    return hosts.recent_samples()


def process_statuses() -> list[dict[str, Any]]:
    """Return the note of each living process: `process, host, pid, at` and what rooms contributed."""
    return hosts.process_statuses()
