"""Holds what a scenario measured against the service levels that it promises."""

import time
from collections.abc import Collection
from typing import Any, Protocol

from tests.drills.checks.checker import EventLog, Findings
from tests.drills.checks.evidence import Evidence, percentile
from tests.drills.checks.scheduling_delay import SchedulingDelay
from tests.drills.clients.subscribers import Subscriber
from tests.drills.clients.writers import Ledger, Outcome


class CheckedTraffic(Protocol):
    """The part of a scenario's traffic that is checked."""

    row: str
    ledger: Ledger
    subscribers: list[Subscriber]
    scheduling_delay: SchedulingDelay


class ServiceLevelCheck:
    """The check of one scenario. `began`, `faults_over_at`: wall clock."""

    def __init__(self, traffic: CheckedTraffic, findings: Findings, *, began: float, faults_over_at: float) -> None:
        self._findings, self._began, self._faults_over_at = findings, began, faults_over_at
        self._row, self._ledger, self._delay, self._subscribers = (
            traffic.row, traffic.ledger, traffic.scheduling_delay, traffic.subscribers,
        )  # fmt: skip
        self._figures: dict[str, Any] = {}

    def check_convergence(self, log: EventLog, seconds: float) -> None:
        """Expect every client at the head within `seconds` after the last fault and the last write."""
        newest = max((event.at for events in log.events.values() for event in events), default=0.0)
        since = max(self._faults_over_at, newest)
        records = (
            records[-1] for subscriber in self._subscribers for records in subscriber.records.values() if records
        )
        last = max((record.at[-1] for record in records if record.at), default=since)
        self._findings.expect(
            last - since <= seconds + self._delay.seconds_between(since, last),
            f"The last client was at the head {last - since:.1f} s after all was calm.",
        )

    def check_responses(self, allowed_errors: Collection[int], max_seconds: float | None) -> None:
        """Expect no error status but 409 and the allowed ones, and no request slower than `max_seconds`."""
        unexpected = {
            status: count
            for status, count in self._ledger.statuses.items()
            if status >= 400 and status not in allowed_errors and status != 409
        }
        self._findings.expect(
            not unexpected, f"Responses that are not allowed: {unexpected} {dict(self._ledger.refusals)}"
        )
        for began, seconds in self._ledger.request_times if max_seconds is not None else ():
            self._findings.expect(
                seconds <= (max_seconds or 0)
                or seconds <= (max_seconds or 0) + self._delay.seconds_between(began, began + seconds),
                f"A request took {seconds:.2f} s, {began - self._began:.1f} s into the scenario.",
            )

    def check_latency(self, limit: float) -> None:
        """Expect every event within `limit` seconds after its COMMIT, scheduling delays subtracted."""
        late_deliveries = [each for each in self._findings.latencies if each[0] > limit]
        unexcused = [
            seconds
            for seconds, begin, end in late_deliveries
            if seconds > limit + self._delay.seconds_between(begin, end)
        ]
        if late_deliveries:
            self._figures["late but for the machine"] = (
                f"{len(late_deliveries)} beyond {limit} s, {len(unexcused)} with no excuse"
            )
        self._findings.expect(
            not unexcused,
            f"{len(unexcused)} deliveries came later than {limit} s, the latest {max(unexcused, default=0):.2f} s.",
        )

    def evidence(self) -> Evidence:
        """Return all of it as one row of the fault table."""
        findings, ledger = self._findings, self._ledger
        latencies = [seconds for seconds, _, _ in findings.latencies]
        return Evidence(
            row=self._row,
            ok=ledger.count(Outcome.OK),
            failed=ledger.count(Outcome.FAILED),
            unknown=ledger.count(Outcome.UNKNOWN),
            lost=findings.lost,
            duplicated=findings.duplicated,
            gaps=findings.gaps,
            deliveries=findings.deliveries,
            late_p99=percentile(latencies, 0.99),
            late_max=max(latencies, default=0.0),
            server_errors=sum(count for status, count in ledger.statuses.items() if status >= 500),
            seconds=round(time.time() - self._began, 1),
            figures=self._summary() | self._figures,
            broken=findings.broken,
        )

    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "deliveries": self._findings.deliveries,
            "answers": dict(sorted(self._ledger.statuses.items())),
        }
        if self._findings.feed_latencies:
            summary["late in the feed"] = f"max {max(self._findings.feed_latencies)[0]:.2f} s"
        outage_seconds = [seconds for subscriber in self._subscribers for _, seconds in subscriber.stats.outages]
        if outage_seconds:
            summary["whole again"] = (
                f"p95 {percentile(outage_seconds, 0.95):.2f} s, max {max(outage_seconds):.2f} s,"
                f" {len(outage_seconds)} times"
            )
        return summary
