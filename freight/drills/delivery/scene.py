"""A scene: shipments, writers and watchers of one row, from the first join to the judgement."""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from freight.drills.delivery import checker, watchers
from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.judgement import Judgement
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
_HANDSHAKES_AT_ONCE: Final = 100
# At least so many come back each second, on whatever machine.
_RETURNS: Final = 15
_FRAMES_OF_A_JOIN: Final = 2
_POURED_AT_ONCE: Final = 100
# Texts are limited in characters.
_TWO_BYTES_EACH: Final = {ord(digit): 0x430 + number for number, digit in enumerate("0123456789abcdef")}


class Scene:
    """Traffic on a stage, and in the end the evidence. Its shipments are its own."""

    def __init__(
        self, stage: Stage, row: str, *, seed: int, shipments: int = 6, writing: int = 4, watching: int = 12,
        ws_port: int | Path | None = None, api_port: int | None = None,
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
        self._named = self._recruited = 0

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
        self, number: int, *, references: Sequence[str] | None = None, port: int | Path | None = None
    ) -> list[Watcher]:
        """This will have more watchers of every room, or of those named, and wait until they are in.

        Some of those of every room follow the organisation's feed, too.
        """
        shipments = [f"shipment:{reference}" for reference in references or self.references]
        fresh = [
            self.recruit([*shipments, *([] if references or each % _FEED_EVERY else [watchers.FEED])], port=port)
            for each in range(number)
        ]
        self.watchers += fresh
        await self.let_in(fresh)
        return fresh

    async def crowd(self, number: int, *, port: int | Path | None = None) -> list[Watcher]:
        """This will have many more watchers, of one room each, and wait until they are in."""
        names = itertools.cycle(self.references)
        fresh = [self.recruit([f"shipment:{next(names)}"], port=port) for _ in range(number)]
        self.watchers += fresh
        # A handshake that is not answered in time is begun again: no more at a time than are answered.
        for first in range(0, number, _HANDSHAKES_AT_ONCE):
            await self.let_in(fresh[first : first + _HANDSHAKES_AT_ONCE])
        return fresh

    def recruit(self, rooms: Sequence[str], *, port: int | Path | None = None, key: str | None = None) -> Watcher:
        """This will return a watcher that nobody has let in yet, and that the judgement does not know of."""
        self._recruited += 1
        key = key or self.stage.keys[self._recruited % len(self.stage.keys)]
        return Watcher(port or self.ws_port, key, rooms, seed=f"{self.seed}/{self._recruited}")

    async def let_in(self, fresh: Sequence[Watcher]) -> None:
        """This will start watchers and wait until they are in."""
        for watcher in fresh:
            watcher.start()
        if not await watchers.all_whole(fresh, _PATIENCE_SECONDS):
            outside = [watcher.seen for watcher in fresh if not watcher.whole.is_set()]
            raise RuntimeError(f"{len(outside)} clients did not come in: {outside[:5]}")

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

    async def visit(self, guests: Sequence[Watcher]) -> None:
        """This will let watchers in, have each be told something, and let them go: every other one says goodbye."""
        for first in range(0, len(guests), _HANDSHAKES_AT_ONCE):
            await self.let_in(guests[first : first + _HANDSHAKES_AT_ONCE])
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not all(guest.seen.frames > _FRAMES_OF_A_JOIN for guest in guests):
            if time.monotonic() > deadline:
                raise RuntimeError("Not every guest was told something.")
            await asyncio.sleep(0.02)
        for rude in guests[::2]:
            rude.stopped = True
            rude.drop()
        await asyncio.gather(*(guest.stop() for guest in guests))

    async def let_back(self) -> None:
        """This will wait until every watcher is in again."""
        if not await watchers.all_whole(self.watchers, max(_PATIENCE_SECONDS, len(self.watchers) / _RETURNS)):
            outside = [watcher.seen for watcher in self.watchers if not watcher.whole.is_set()]
            raise RuntimeError(f"{len(outside)} clients did not come back: {outside[:5]}")

    async def pour(self, reference: str, events: int, *, width: int = 1, at_once: int = _POURED_AT_ONCE) -> None:
        """This will write so many events of one shipment, many in each transaction; each has `width` references."""
        caller = Caller(self.api_port, self.stage.keys[0])
        try:
            for first in range(0, events, at_once):
                items = [
                    {"op": "update", "reference": reference, "references": wide(width)}
                    for _ in range(min(at_once, events - first))
                ]
                answer = await caller.call("POST", "/api/shipments/bulk", {"items": items}, seconds=60)
                if answer.status != 200 or answer.json()["failed"]:
                    raise RuntimeError(f"Not poured: {answer.status} {answer.body[:500]!r}")
                self.ledger.statuses[answer.status] += 1
        finally:
            await caller.close()

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
        judged = Judgement(self, found, began=self._began, calm_at=self._calm_at)
        judged.settling(log, SETTLE_SECONDS)
        judged.answers(errors, slowest)
        if late is not None:
            judged.lateness(late)
        if sockets_stay:
            found.expect(not self.lost_sockets, f"{self.lost_sockets} sockets ended.")
        return judged.evidence()

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
    @staticmethod
    def _has_all(watcher: Watcher, log: checker.Log) -> bool:
        last = {room: watcher.newest(room) for room in watcher.records}
        return all(record and record.last >= len(log.of(room)) for room, record in last.items())

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.probes.stop()
        await self.stalls.stop()
        with contextlib.suppress(Exception):
            await asyncio.gather(*(watcher.stop() for watcher in self.watchers))


def wide(width: int) -> dict[str, str]:
    """This will return so many new references of a shipment, some 140 bytes each."""
    return {f"r{number}": (uuid.uuid4().hex * 2).translate(_TWO_BYTES_EACH) for number in range(width)}
