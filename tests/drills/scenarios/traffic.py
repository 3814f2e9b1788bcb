"""The traffic of one scenario: shipments, writers and subscribers, from the first join to the evaluation."""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.drills.checks import checker
from tests.drills.checks.evidence import Evidence
from tests.drills.checks.health_probes import HealthProbes
from tests.drills.checks.scheduling_delay import SchedulingDelay
from tests.drills.checks.service_levels import ServiceLevelCheck
from tests.drills.clients import subscribers
from tests.drills.clients.http_client import HttpClient
from tests.drills.clients.subscribers import Subscriber
from tests.drills.clients.writers import Ledger, Outcome, Writer, wide_references
from tests.drills.harness import procfs
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage

MAX_CONVERGENCE_SECONDS: Final = 5.0
# Before a loss is counted: a scenario that settles late differs from one that never does.
_MAX_WAIT_SECONDS: Final = 30.0
_FEED_SUBSCRIBER_EVERY: Final = 4
_HANDSHAKES_AT_ONCE: Final = 100
# Reached on any machine.
_RECONNECTS_PER_SECOND: Final = 15
_FRAMES_OF_A_JOIN: Final = 2
_EVENTS_PER_TRANSACTION: Final = 100


class Traffic:
    """Writers and subscribers on a stage for the length of an `async with` block, with shipments of their own.

    `row`: the name in the fault table.
    """

    def __init__(
        self, stage: ProductStage, row: str, *, seed: int, shipments: int = 6, writer_count: int = 4,
        subscriber_count: int = 12, ws_port: int | Path | None = None, api_port: int | None = None,
    ) -> None:  # fmt: skip
        self.stage, self.row, self.seed = stage, row, seed
        self.ws_port, self.api_port = ws_port or stage.port, api_port or stage.port
        self._run = uuid.uuid4().hex[:8]
        self.references = [f"D-{self._run.upper()}-{number}" for number in range(shipments)]
        self.ledger = Ledger()
        self.subscribers: list[Subscriber] = []
        self.writers: list[Writer] = []
        self.probes = HealthProbes(stage)
        self.scheduling_delay = SchedulingDelay(
            lambda: [stage[name].pid for name in API_ROLES],
            lambda: procfs.thread_ids(stage[name].pid for name in API_ROLES),
            stage.database.sessions,
            lambda: [stage[name].pid for name in WS_ROLES],
        )
        self._initial_writers, self._initial_subscribers = writer_count, subscriber_count
        self._tasks: list[asyncio.Task[None]] = []
        self._began = time.time()
        self._faults_over_at = 0.0
        self._writers_named = self._subscribers_made = 0

    async def __aenter__(self) -> Self:
        try:
            await self._warm_up()
            await self._book_shipments()
            await self.add_subscribers(self._initial_subscribers)
            self.scheduling_delay.start()
            self.probes.start()
            for _ in range(self._initial_writers):
                self.add_writer(self.api_port)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    # -- traffic ------------------------------------------------------------------------------------------

    async def add_subscribers(
        self, number: int, *, references: Sequence[str] | None = None, port: int | Path | None = None
    ) -> list[Subscriber]:
        """Add subscribers of every room, or of those named, and wait until they have joined.

        Of those of every room, one in four follows the organisation's feed, too.
        """
        shipments = [f"shipment:{reference}" for reference in references or self.references]
        fresh = [
            self.new_subscriber(
                [*shipments, *([] if references or each % _FEED_SUBSCRIBER_EVERY else [subscribers.FEED])],
                port=port,
            )
            for each in range(number)
        ]
        self.subscribers += fresh
        await self.connect_all(fresh)
        return fresh

    async def add_room_subscribers(self, number: int, *, port: int | Path | None = None) -> list[Subscriber]:
        """Add many subscribers, of one room each, and wait until they have joined."""
        names = itertools.cycle(self.references)
        fresh = [self.new_subscriber([f"shipment:{next(names)}"], port=port) for _ in range(number)]
        self.subscribers += fresh
        # A handshake that is not answered in time is retried: no more at a time than the servers can answer.
        for first in range(0, number, _HANDSHAKES_AT_ONCE):
            await self.connect_all(fresh[first : first + _HANDSHAKES_AT_ONCE])
        return fresh

    def new_subscriber(
        self, rooms: Sequence[str], *, port: int | Path | None = None, key: str | None = None
    ) -> Subscriber:
        """Return a subscriber that is not connected, and that `evaluate` does not know."""
        self._subscribers_made += 1
        key = key or self.stage.seeded.api_keys[self._subscribers_made % len(self.stage.seeded.api_keys)]
        return Subscriber(port or self.ws_port, key, rooms, seed=f"{self.seed}/{self._subscribers_made}")

    async def connect_all(self, fresh: Sequence[Subscriber]) -> None:
        """Start subscribers and wait until they have joined their rooms."""
        for subscriber in fresh:
            subscriber.start()
        if not await subscribers.wait_until_synced(fresh, _MAX_WAIT_SECONDS):
            not_synced = [subscriber.stats for subscriber in fresh if not subscriber.synced.is_set()]
            raise RuntimeError(f"{len(not_synced)} clients did not join: {not_synced[:5]}")

    def add_writer(self, port: int, *, references: Sequence[str] | None = None, **options: Any) -> Writer:
        """Start one more writer."""
        number = len(self.writers)
        writer = Writer(
            self.next_writer_name(), port, self.stage.seeded.api_keys[number % len(self.stage.seeded.api_keys)],
            references or self.references, self.ledger, seed=self.seed, **options,
        )  # fmt: skip
        self.writers.append(writer)
        self._tasks.append(asyncio.create_task(writer.run()))
        return writer

    def next_writer_name(self) -> str:
        """Return a name for one more writer, unique on the stage, as the markers are that begin with it."""
        self._writers_named += 1
        return f"w{self._run}-{self._writers_named}"

    async def run_visits(self, visitors: Sequence[Subscriber]) -> None:
        """Connect subscribers, wait until each has received an event, and close them, half of them by a reset."""
        for first in range(0, len(visitors), _HANDSHAKES_AT_ONCE):
            await self.connect_all(visitors[first : first + _HANDSHAKES_AT_ONCE])
        deadline = time.monotonic() + _MAX_WAIT_SECONDS
        while not all(visitor.stats.frames > _FRAMES_OF_A_JOIN for visitor in visitors):
            if time.monotonic() > deadline:
                raise RuntimeError("Not every subscriber received an event.")
            await asyncio.sleep(0.02)
        for visitor in visitors[::2]:
            visitor.stopped = True
            visitor.abort()
        await asyncio.gather(*(visitor.stop() for visitor in visitors))

    async def wait_until_reconnected(self) -> None:
        """Wait until every subscriber has joined its rooms again."""
        if not await subscribers.wait_until_synced(
            self.subscribers, max(_MAX_WAIT_SECONDS, len(self.subscribers) / _RECONNECTS_PER_SECOND)
        ):
            not_synced = [subscriber.stats for subscriber in self.subscribers if not subscriber.synced.is_set()]
            raise RuntimeError(f"{len(not_synced)} clients did not come back: {not_synced[:5]}")

    async def write_burst(
        self, reference: str, events: int, *, width: int = 1, at_once: int = _EVENTS_PER_TRANSACTION
    ) -> None:
        """Write `events` events of one shipment, `at_once` in a transaction, each with `width` references."""
        client = HttpClient(self.api_port, self.stage.seeded.api_keys[0])
        try:
            for first in range(0, events, at_once):
                items = [
                    {"op": "update", "reference": reference, "references": wide_references(width)}
                    for _ in range(min(at_once, events - first))
                ]
                answer = await client.request("POST", "/api/shipments/bulk", {"items": items}, seconds=60)
                if answer.status != 200 or answer.json()["failed"]:
                    raise RuntimeError(f"The burst failed: {answer.status} {answer.body[:500]!r}")
                self.ledger.statuses[answer.status] += 1
        finally:
            await client.close()

    async def wait_for_writes(self, count: int, seconds: float = 30.0) -> None:
        """Wait until `count` more operations have succeeded."""
        goal, deadline = self.ledger.count(Outcome.OK) + count, time.monotonic() + seconds
        while self.ledger.count(Outcome.OK) < goal:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Nothing is written: {self.ledger.statuses} {self.ledger.refusals}")
            await asyncio.sleep(0.02)

    def mark_faults_over(self) -> None:
        """Note that the last fault is over."""
        self._faults_over_at = time.time()

    @property
    def closed_sockets(self) -> int:
        """The number of sockets that have closed so far."""
        return sum(subscriber.stats.closes.total() for subscriber in self.subscribers)

    async def _warm_up(self) -> None:
        """Have each api process answer once: the first response is slow without any fault."""
        for name in API_ROLES:
            process = self.stage[name]
            if process.pid in self.stage.warm_pids or not process.is_alive():
                continue
            client = HttpClient(process.socket, self.stage.seeded.api_keys[0])
            created = await client.request("POST", "/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"})
            path = f"/api/shipments/{created.json()['reference']}"
            await client.request("PATCH", path, {"pieces": 1}, If_Match="*", Idempotency_Key=uuid.uuid4().hex)
            await client.close()
            self.stage.warm_pids.add(process.pid)

    async def _book_shipments(self) -> None:
        client = HttpClient(self.api_port, self.stage.seeded.api_keys[0])
        items = [
            {"op": "create", "reference": reference, "origin": "NLRTM", "destination": "DEHAM", "status": "booked"}
            for reference in self.references
        ]
        answer = await client.request("POST", "/api/shipments/bulk", {"items": items})
        await client.close()
        if answer.status != 200 or answer.json()["failed"]:
            raise RuntimeError(f"The shipments were not booked: {answer.status} {answer.body[:500]!r}")

    # -- evaluation ---------------------------------------------------------------------------------------

    async def evaluate(
        self, *, max_latency: float | None = None, allowed_errors: Collection[int] = (),
        max_seconds: float | None = None, sockets_stay: bool = False,
    ) -> Evidence:  # fmt: skip
        """Stop the writers, wait until every client has caught up, and check everything against the database.

        `max_latency`: seconds from COMMIT to receipt. `allowed_errors`: statuses of 400 and more beside 409.
        `max_seconds`: of a request. `sockets_stay`: no socket may have closed.
        """
        self._faults_over_at = self._faults_over_at or time.time()
        await self._stop_writers()
        log = await self._wait_until_converged()
        await self.probes.stop()
        findings = checker.check_consistency(log, self.ledger, self.subscribers)
        check = ServiceLevelCheck(self, findings, began=self._began, faults_over_at=self._faults_over_at)
        check.check_convergence(log, MAX_CONVERGENCE_SECONDS)
        check.check_responses(allowed_errors, max_seconds)
        if max_latency is not None:
            check.check_latency(max_latency)
        if sockets_stay:
            findings.expect(not self.closed_sockets, f"{self.closed_sockets} sockets ended.")
        return check.evidence()

    async def _stop_writers(self) -> None:
        for writer in self.writers:
            writer.stopped.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.result()
        self._tasks.clear()

    async def _wait_until_converged(self) -> checker.EventLog:
        """Wait until every client has every event and the feed is numbered, or 30 s have passed; return the log."""
        deadline = time.monotonic() + _MAX_WAIT_SECONDS
        while True:
            log = await asyncio.to_thread(checker.read_event_log, self.stage.database.url, self.references)
            caught_up = all(self._is_caught_up(subscriber, log) for subscriber in self.subscribers)
            converged = caught_up and not log.unnumbered
            if converged or time.monotonic() > deadline:
                # A duplicate comes a moment later.
                await asyncio.sleep(0.3)
                return log
            await asyncio.sleep(0.05)

    @staticmethod
    def _is_caught_up(subscriber: Subscriber, log: checker.EventLog) -> bool:
        newest_records = {room: subscriber.current_record(room) for room in subscriber.records}
        return all(record and record.last >= len(log.history(room)) for room, record in newest_records.items())

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.probes.stop()
        await self.scheduling_delay.stop()
        with contextlib.suppress(Exception):
            await asyncio.gather(*(subscriber.stop() for subscriber in self.subscribers))
