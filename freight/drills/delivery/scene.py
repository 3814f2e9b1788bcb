"""A scene: shipments, writers and watchers of one row, from the first join to the judgement."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any, Final, Self

from freight.drills.delivery import checker, watchers
from freight.drills.delivery.checker import Found
from freight.drills.delivery.evidence import Evidence, percentile
from freight.drills.delivery.probes import Probes
from freight.drills.delivery.requests import Caller
from freight.drills.delivery.stage import APIS, SOCKETS, Stage
from freight.drills.delivery.stalls import Stalls
from freight.drills.delivery.watchers import Watcher
from freight.drills.delivery.writers import Ledger, Outcome, Writer

SETTLE_SECONDS: Final = 5.0
# How long we look on before a loss is called one: a scene that settles late is told from one that never does.
_PATIENCE_SECONDS: Final = 30.0
_FEED_EVERY: Final = 4


class Scene:
    """Traffic on a stage, and in the end the evidence. Its shipments are its own."""

    def __init__(
        self, stage: Stage, row: str, *, seed: int, shipments: int = 6, writing: int = 4, watching: int = 12,
        ws_port: int | None = None, api_port: int | None = None,
    ) -> None:  # fmt: skip
        self.stage, self.row, self.seed = stage, row, seed
        self.ws_port, self.api_port = ws_port or stage.port, api_port or stage.port
        self._run = uuid.uuid4().hex[:8]
        self.references = [f"D-{self._run.upper()}-{number}" for number in range(shipments)]
        self.ledger = Ledger()
        self.watchers: list[Watcher] = []
        self.writers: list[Writer] = []
        self.probes = Probes(stage)
        self.stalls = Stalls(lambda: [stage.roles[name].pid for name in SOCKETS], stage.database.sessions)
        self._writing, self._watching = writing, watching
        self._tasks: list[asyncio.Task[None]] = []
        self._began = time.time()
        self._calm_at = 0.0
        self._named = 0

    async def __aenter__(self) -> Self:
        try:
            await self._warm()
            await self._book()
            await self.watch(self._watching)
            self.stalls.start()
            self.probes.start()
            for _ in range(self._writing):
                self.write(self.api_port)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    # -- traffic ------------------------------------------------------------------------------------------

    async def watch(
        self, number: int, *, references: Sequence[str] | None = None, port: int | None = None, **options: Any
    ) -> list[Watcher]:
        """This will have more watchers of every room, or of those named, and wait until they are in.

        Some of those of every room follow the organisation's feed, too.
        """
        shipments = [f"shipment:{reference}" for reference in references or self.references]
        first = len(self.watchers)
        fresh = [
            Watcher(
                port or self.ws_port, self.stage.keys[(first + each) % len(self.stage.keys)],
                [*shipments, *([] if references or each % _FEED_EVERY else [watchers.FEED])],
                seed=f"{self.seed}/{first + each}", **options,
            )
            for each in range(number)
        ]  # fmt: skip
        self.watchers += fresh
        for watcher in fresh:
            watcher.start()
        if not await watchers.all_whole(fresh, _PATIENCE_SECONDS):
            raise RuntimeError(f"Not every client came in: {[watcher.seen for watcher in fresh]}")
        return fresh

    def write(self, port: int, *, references: Sequence[str] | None = None, **options: Any) -> Writer:
        """This will have one more writer."""
        number = len(self.writers)
        writer = Writer(
            self.name_writer(), port, self.stage.keys[number % len(self.stage.keys)],
            references or self.references, self.ledger, seed=self.seed, **options,
        )  # fmt: skip
        self.writers.append(writer)
        self._tasks.append(asyncio.create_task(writer.run()))
        return writer

    def name_writer(self) -> str:
        """This will return a name for one more writer: no two markers of a stage are alike."""
        self._named += 1
        return f"w{self._run}-{self._named}"

    async def written(self, more: int, seconds: float = 30.0) -> None:
        """This will wait until so many more operations have succeeded."""
        goal, deadline = self.ledger.told(Outcome.OK) + more, time.monotonic() + seconds
        while self.ledger.told(Outcome.OK) < goal:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Nothing is written: {self.ledger.statuses} {self.ledger.refusals}")
            await asyncio.sleep(0.02)

    def calm(self) -> None:
        """This will say that the last fault is over."""
        self._calm_at = time.time()

    @property
    def lost_sockets(self) -> int:
        """How many sockets have ended so far."""
        return sum(watcher.seen.closes.total() for watcher in self.watchers)

    async def _warm(self) -> None:
        """This will have each api process answer once: its first answer takes its time, whatever is broken."""
        for name in APIS:
            role = self.stage.roles[name]
            if role.socket is None or role.pid in self.stage.warm or not self.stage.lives(name):
                continue
            caller = Caller(role.socket, self.stage.keys[0])
            booked = await caller.call("POST", "/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"})
            path = f"/api/shipments/{booked.json()['reference']}"
            await caller.call("PATCH", path, {"pieces": 1}, If_Match="*", Idempotency_Key=uuid.uuid4().hex)
            await caller.close()
            self.stage.warm.add(role.pid)

    async def _book(self) -> None:
        caller = Caller(self.api_port, self.stage.keys[0])
        items = [
            {"op": "create", "reference": reference, "origin": "NLRTM", "destination": "DEHAM", "status": "booked"}
            for reference in self.references
        ]
        answer = await caller.call("POST", "/api/shipments/bulk", {"items": items})
        await caller.close()
        if answer.status != 200 or answer.json()["failed"]:
            raise RuntimeError(f"The shipments were not booked: {answer.status} {answer.body[:500]!r}")

    # -- judgement ----------------------------------------------------------------------------------------

    async def judge(
        self, *, late: float | None = None, errors: Collection[int] = (), slowest: float | None = None,
        sockets_stay: bool = False,
    ) -> Evidence:  # fmt: skip
        """This will stop the writers, wait until all is quiet, and hold everything against the database.

        `late`: the most seconds from COMMIT to receipt. `errors`: which answers of 500 and more the row allows.
        `slowest`: the most seconds of a request. `sockets_stay`: no socket may have ended.
        """
        self._calm_at = self._calm_at or time.time()
        await self._stop_writers()
        log = await self._settled()
        await self.probes.stop()
        found = checker.compare(log, self.ledger, self.watchers)
        evidence = self._evidence(found)
        self._judge_settling(found, log)
        self._judge_answers(found, errors, slowest)
        if late is not None:
            self._judge_lateness(found, late, evidence)
        if sockets_stay:
            found.expect(not self.lost_sockets, f"{self.lost_sockets} sockets ended.")
        evidence.broken, evidence.lost = found.broken, found.lost
        return evidence

    async def _stop_writers(self) -> None:
        for writer in self.writers:
            writer.stopped.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.result()
        self._tasks.clear()

    async def _settled(self) -> checker.Log:
        """This will wait until every client has every event and the feed has all, or patience ends."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            log = await asyncio.to_thread(checker.read, self.stage.database.url, self.references)
            whole = all(self._has_all(watcher, log) for watcher in self.watchers) and not log.unnumbered
            if whole or time.monotonic() > deadline:
                # What is sent twice comes a moment later.
                await asyncio.sleep(0.3)
                return log
            await asyncio.sleep(0.05)

    @staticmethod
    def _has_all(watcher: Watcher, log: checker.Log) -> bool:
        last = {room: watcher.newest(room) for room in watcher.records}
        return all(record and record.last >= len(log.of(room)) for room, record in last.items())

    def _judge_settling(self, found: Found, log: checker.Log) -> None:
        newest = max((event.at for events in log.events.values() for event in events), default=0.0)
        since = max(self._calm_at, newest)
        last = max((record.at[-1] for record in self._records() if record.at), default=since)
        slack = self.stalls.within(since, last)
        found.expect(
            last - since <= SETTLE_SECONDS + slack,
            f"The last client was at the head {last - since:.1f} s after all was calm.",
        )

    def _judge_answers(self, found: Found, errors: Collection[int], slowest: float | None) -> None:
        foreign = {status: count for status, count in self.ledger.statuses.items() if status >= 400}
        foreign = {status: count for status, count in foreign.items() if status not in errors and status != 409}
        found.expect(not foreign, f"Answers that nobody allows: {foreign} {dict(self.ledger.refusals)}")
        for began, seconds in self.ledger.seconds if slowest is not None else ():
            if seconds > (slowest or 0) + self.stalls.within(began, began + seconds):
                found.broken.append(f"A request took {seconds:.2f} s, {began - self._began:.1f} s into the row.")

    def _judge_lateness(self, found: Found, limit: float, evidence: Evidence) -> None:
        late = [each for each in found.late if each[0] > limit]
        beyond = [seconds for seconds, begin, end in late if seconds > limit + self.stalls.within(begin, end)]
        if late:
            evidence.figures["late but for the machine"] = (
                f"{len(late)} beyond {limit} s, {len(beyond)} with no excuse"
            )
        found.expect(
            not beyond,
            f"{len(beyond)} deliveries came later than {limit} s, the latest {max(beyond, default=0):.2f} s.",
        )

    def _evidence(self, found: Found) -> Evidence:
        late = [seconds for seconds, _, _ in found.late]
        away = [seconds for watcher in self.watchers for _, seconds in watcher.seen.away]
        made = Evidence(
            row=self.row,
            ok=self.ledger.told(Outcome.OK),
            failed=self.ledger.told(Outcome.FAILED),
            unknown=self.ledger.told(Outcome.UNKNOWN),
            lost=found.lost,
            duplicated=found.duplicated,
            gaps=found.gaps,
            deliveries=found.deliveries,
            late_p99=percentile(late, 0.99),
            late_max=max(late, default=0.0),
            server_errors=sum(count for status, count in self.ledger.statuses.items() if status >= 500),
            seconds=round(time.time() - self._began, 1),
        )
        made.figures |= {"deliveries": found.deliveries, "answers": dict(sorted(self.ledger.statuses.items()))}
        if found.late_in_feed:
            made.figures["late in the feed"] = f"max {max(found.late_in_feed)[0]:.2f} s"
        if away:
            made.figures["whole again"] = (
                f"p95 {percentile(away, 0.95):.2f} s, max {max(away):.2f} s, {len(away)} times"
            )
        return made

    def _records(self) -> list[watchers.Record]:
        return [records[-1] for watcher in self.watchers for records in watcher.records.values() if records]

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.probes.stop()
        await self.stalls.stop()
        with contextlib.suppress(Exception):
            await asyncio.gather(*(watcher.stop() for watcher in self.watchers))
