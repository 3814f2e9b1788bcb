"""Compares the writers' ledger and the subscribers' records with the database."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from tests.drills.clients.subscribers import FEED, RoomRecord, Subscriber
from tests.drills.clients.writers import Ledger, Outcome

_MARKER: Final = re.compile(r"w[0-9a-f]{8}-\d+-\d+-[0-9a-f]{10}")
_EVENTS: Final = """
SELECT shipment.reference, event.seq, event.id::text, event.data::text,
       extract(epoch FROM pg_xact_commit_timestamp(event.xmin))::float8
  FROM shipments_shipmentevent event JOIN shipments_shipment shipment ON shipment.id = event.shipment_id
 WHERE shipment.reference = ANY(%s) ORDER BY shipment.reference, event.seq
"""
_AUDIT: Final = "SELECT entity_id, count(*) FROM shipments_auditentry WHERE entity_id = ANY(%s) GROUP BY entity_id"
_HEADS: Final = "SELECT reference, seq FROM shipments_shipment WHERE reference = ANY(%s)"
_ENTRIES: Final = """
SELECT feed.position, event.id::text, extract(epoch FROM pg_xact_commit_timestamp(event.xmin))::float8
  FROM shipments_feedentry feed JOIN shipments_shipmentevent event ON event.id = feed.event_id
 ORDER BY feed.position
"""
# Positions without gaps, and each shipment's events in the order of their seqs.
_FEED: Final = """
SELECT count(*), coalesce(max(position), 0), count(DISTINCT event_id), count(*) FILTER (WHERE disordered) FROM (
    SELECT feed.position, feed.event_id,
           event.shipment_id IS NOT NULL AND event.seq <> 1
           + lag(event.seq, 1, 0::bigint) OVER (PARTITION BY event.shipment_id ORDER BY feed.position) AS disordered
      FROM shipments_feedentry feed JOIN shipments_shipmentevent event ON event.id = feed.event_id) AS numbered
"""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event as the database has it; `at` is when its transaction was committed."""

    seq: int
    id: str
    markers: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class EventLog:
    """The shipments of a scenario, and the feed, as the database has them."""

    events: Mapping[str, list[LoggedEvent]]
    feed_entries: list[LoggedEvent]
    heads: Mapping[str, int]
    audit_counts: Mapping[str, int]
    feed_totals: tuple[int, int, int, int]
    total: int
    unnumbered: int

    def history(self, room: str) -> list[LoggedEvent]:
        """Return the events of a room, seq by seq."""
        return self.feed_entries if room == FEED else self.events[room.removeprefix("shipment:")]


@dataclass(slots=True)
class Findings:
    """The counts, and in `broken` a sentence for every promise that did not hold."""

    lost: int = 0
    duplicated: int = 0
    gaps: int = 0
    deliveries: int = 0
    # Seconds, time of COMMIT, time of receipt.
    latencies: list[tuple[float, float, float]] = field(default_factory=list)
    feed_latencies: list[tuple[float, float, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def expect(self, holds: bool, sentence: str) -> None:
        """Add the sentence to `broken` unless the promise holds."""
        if not holds:
            self.broken.append(sentence)


def read_event_log(url: str, references: Sequence[str]) -> EventLog:
    """Read the log of the shipments from the database, past the product."""
    names = list(references)
    with psycopg.connect(url) as connection:
        # One snapshot for every query.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        events: dict[str, list[LoggedEvent]] = {name: [] for name in names}
        for reference, seq, identifier, data, at in connection.execute(_EVENTS, [names]):
            events[reference].append(LoggedEvent(seq, identifier, tuple(set(_MARKER.findall(data))), at))
        return EventLog(
            events=events,
            feed_entries=[
                LoggedEvent(number, identifier, (), at) for number, identifier, at in connection.execute(_ENTRIES)
            ],
            heads=dict(connection.execute(_HEADS, [names]).fetchall()),
            audit_counts=dict(connection.execute(_AUDIT, [names]).fetchall()),
            feed_totals=connection.execute(_FEED).fetchone() or (0, 0, 0, 0),
            total=_fetch_int(connection, "SELECT count(*) FROM shipments_shipmentevent"),
            unnumbered=_fetch_int(connection, "SELECT count(*) FROM shipments_unnumberedevent"),
        )


def check_consistency(log: EventLog, ledger: Ledger, subscribers: Iterable[Subscriber]) -> Findings:
    """Compare the ledger and the records with the log."""
    findings = Findings()
    _check_log(log, findings)
    _check_operations(log, ledger, findings)
    for number, subscriber in enumerate(subscribers):
        findings.duplicated += subscriber.stats.duplicates
        findings.gaps += subscriber.stats.gaps
        for room, records in subscriber.records.items():
            _check_records(log, room, records, findings, who=f"client {number}")
    return findings


def _check_log(log: EventLog, findings: Findings) -> None:
    for reference, events in log.events.items():
        seqs = [event.seq for event in events]
        findings.expect(seqs == list(range(1, len(seqs) + 1)), f"The log of {reference} is not contiguous.")
        findings.expect(
            log.heads.get(reference) == len(seqs) == max(seqs, default=0),
            f"{reference} says seq {log.heads.get(reference)} and has {len(seqs)} events.",
        )
        findings.expect(
            log.audit_counts.get(reference, 0) == len(seqs),
            f"{reference} has {len(seqs)} events and {log.audit_counts.get(reference, 0)} audit entries.",
        )
    entry_count, newest, distinct, disordered = log.feed_totals
    findings.expect(
        entry_count == newest == distinct == log.total and not disordered and not log.unnumbered,
        f"The feed is not whole: {entry_count} entries up to {newest} of {log.total} events, {distinct} of them"
        f" different, {disordered} out of order, {log.unnumbered} waiting.",
    )


def _check_operations(log: EventLog, ledger: Ledger, findings: Findings) -> None:
    occurrences = Counter(marker for events in log.events.values() for event in events for marker in event.markers)
    allowed = {Outcome.OK: {1}, Outcome.FAILED: {0}, Outcome.UNKNOWN: {0, 1}}
    for operation in ledger.operations:
        occurrence_count = occurrences[operation.marker]
        if occurrence_count in allowed[operation.outcome]:
            continue
        if not occurrence_count:
            findings.lost += 1
        else:
            findings.duplicated += occurrence_count > 1
        findings.broken.append(
            f"{operation.marker} is {operation.outcome} and {occurrence_count} times in the log."
        )


def _check_records(log: EventLog, room: str, records: list[RoomRecord], findings: Findings, *, who: str) -> None:
    events = log.history(room)
    latencies = findings.feed_latencies if room == FEED else findings.latencies
    findings.expect(bool(records), f"{who} never entered {room}.")
    for record in records:
        expected = [event.id for event in events[record.base : record.last]]
        findings.expect(record.ids == expected, f"{who} was given other events of {room} than the log has.")
        findings.deliveries += len(record.ids)
        for event, at in zip(events[record.base :], record.at, strict=False):
            latencies.append((at - event.at, event.at, at))
    if records:
        missing = len(events) - records[-1].last
        findings.lost += max(0, missing)
        findings.expect(not missing, f"{who} has {room} up to {records[-1].last} and the log up to {len(events)}.")


def _fetch_int(connection: "psycopg.Connection[Any]", sql: str) -> int:
    row = connection.execute(sql.encode()).fetchone()
    return int(row[0]) if row else 0
