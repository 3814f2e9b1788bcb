"""The registry of the JSON reports below `/api/metrics/`, and the samples and statuses that they are made from."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from monitoring.prometheus.samples import SampleSet
from monitoring.runtime import hosts

Report = Callable[[], Mapping[str, Any]]
_reports: dict[str, Report] = {}
_staff_reports: dict[str, Report] = {}


def register(name: str, report: Report, *, for_staff: Report | None = None) -> None:
    """Answer `/api/metrics/<name>` with what `report` returns (JSON), a timestamp and, where hosts miss, `partial`.

    `for_staff` is what a request with the credentials of staff gets instead. Both are called in the thread of the
    request.
    """
    _reports[name] = report
    _staff_reports[name] = for_staff or report


def names() -> list[str]:
    """Return the names of all reports."""
    return sorted(_reports)


def render(name: str, *, staff: bool = False) -> dict[str, Any]:
    """Return the body of one report; raises KeyError for a name that is not registered."""
    body = dict((_staff_reports if staff else _reports)[name]()) | {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    }
    return body | {"partial": True} if hosts.is_partial else body


def is_partial() -> bool:
    """Return whether other hosts may be missing, because Redis does not answer."""
    return hosts.is_partial


def current_samples() -> SampleSet:
    """Return the samples of all processes of all hosts: sums since the first process started."""
    return hosts.current_samples()


def host_samples() -> SampleSet:
    """Return the samples of this host a moment ago: cheaper than `current_samples`, nothing is added up."""
    return hosts.own_snapshot().current


def recent_samples() -> SampleSet:
    """Return the growth of the samples of all hosts over the last minute."""
    return hosts.recent_samples()


def process_statuses() -> list[dict[str, Any]]:
    """Return the status of each living process: `process, host, pid, at` and what apps have registered."""
    return hosts.process_statuses()
