"""The judgement on a row: what the checker found, what clients waited for and how they were answered."""

import time
from collections.abc import Collection
from typing import Any, Protocol

from freight.drills.delivery.checker import Found, Log
from freight.drills.delivery.evidence import Evidence, percentile
from freight.drills.delivery.stalls import Stalls
from freight.drills.delivery.watchers import Watcher
from freight.drills.delivery.writers import Ledger, Outcome


class Played(Protocol):
    """What a judgement looks at."""

    row: str
    ledger: Ledger
    watchers: list[Watcher]
    stalls: Stalls


class Judgement:
    """Of one row."""

    def __init__(self, played: Played, found: Found, *, began: float, calm_at: float) -> None:
        self._found, self._began, self._calm_at = found, began, calm_at
        self._row, self._ledger, self._stalls, self._watchers = (
            played.row, played.ledger, played.stalls, played.watchers,
        )  # fmt: skip
        self._figures: dict[str, Any] = {}

    def settling(self, log: Log, seconds: float) -> None:
        """This will expect that every client was at the head so many seconds after the last fault and write."""
        newest = max((event.at for events in log.events.values() for event in events), default=0.0)
        since = max(self._calm_at, newest)
        records = (records[-1] for watcher in self._watchers for records in watcher.records.values() if records)
        last = max((record.at[-1] for record in records if record.at), default=since)
        self._found.expect(
            last - since <= seconds + self._stalls.within(since, last),
            f"The last client was at the head {last - since:.1f} s after all was calm.",
        )

    def answers(self, errors: Collection[int], slowest: float | None) -> None:
        """This will expect no errors but those allowed, 409 among them, and no request slower than that."""
        foreign = {
            status: count
            for status, count in self._ledger.statuses.items()
            if status >= 400 and status not in errors and status != 409
        }
        self._found.expect(not foreign, f"Answers that nobody allows: {foreign} {dict(self._ledger.refusals)}")
        for began, seconds in self._ledger.seconds if slowest is not None else ():
            self._found.expect(
                seconds <= (slowest or 0)
                or seconds <= (slowest or 0) + self._stalls.within(began, began + seconds),
                f"A request took {seconds:.2f} s, {began - self._began:.1f} s into the row.",
            )

    def lateness(self, limit: float) -> None:
        """This will expect that nothing came later than that after its COMMIT, but for the machine."""
        late = [each for each in self._found.late if each[0] > limit]
        beyond = [seconds for seconds, begin, end in late if seconds > limit + self._stalls.within(begin, end)]
        if late:
            self._figures["late but for the machine"] = (
                f"{len(late)} beyond {limit} s, {len(beyond)} with no excuse"
            )
        self._found.expect(
            not beyond,
            f"{len(beyond)} deliveries came later than {limit} s, the latest {max(beyond, default=0):.2f} s.",
        )

    def evidence(self) -> Evidence:
        """This will return all of it as one row of the table."""
        found, ledger = self._found, self._ledger
        late = [seconds for seconds, _, _ in found.late]
        return Evidence(
            row=self._row,
            ok=ledger.told(Outcome.OK),
            failed=ledger.told(Outcome.FAILED),
            unknown=ledger.told(Outcome.UNKNOWN),
            lost=found.lost,
            duplicated=found.duplicated,
            gaps=found.gaps,
            deliveries=found.deliveries,
            late_p99=percentile(late, 0.99),
            late_max=max(late, default=0.0),
            server_errors=sum(count for status, count in ledger.statuses.items() if status >= 500),
            seconds=round(time.time() - self._began, 1),
            figures=self._told() | self._figures,
            broken=found.broken,
        )

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "deliveries": self._found.deliveries,
            "answers": dict(sorted(self._ledger.statuses.items())),
        }
        if self._found.late_in_feed:
            told["late in the feed"] = f"max {max(self._found.late_in_feed)[0]:.2f} s"
        away = [seconds for watcher in self._watchers for _, seconds in watcher.seen.away]
        if away:
            told["whole again"] = f"p95 {percentile(away, 0.95):.2f} s, max {max(away):.2f} s, {len(away)} times"
        return told
