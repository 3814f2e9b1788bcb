"""Writers: REST clients that change shipments and keep a ledger of every operation, with what they know of it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from freight.drills.delivery.requests import Answer, Caller, NoAnswer, NotSent

_PAUSE_SECONDS: Final = (0.01, 0.06)
_AFTER_FAILURE_SECONDS: Final = (0.1, 0.3)
_RETRIES: Final = 40


class Outcome(StrEnum):
    """What the writer knows of an operation."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Operation:
    """One write under one Idempotency-Key. `marker` stands in the event that it becomes."""

    marker: str
    reference: str
    method: str
    path: str
    body: dict[str, Any]
    outcome: Outcome = Outcome.FAILED
    attempts: int = 0

    def judge(self, answer: Answer) -> None:
        """This will note what an answer says."""
        if answer.status < 300:
            self.outcome = Outcome.OK
        elif self.outcome is Outcome.UNKNOWN or _says_nothing(answer):
            # A later refusal (the key is in flight, the database away) says nothing of the attempt before it.
            self.outcome = Outcome.UNKNOWN


def _says_nothing(answer: Answer) -> bool:
    """This will tell whether the answer leaves open what became of the write."""
    if answer.status in {502, 504}:
        return True
    told = answer.json()
    if not isinstance(told, dict) or answer.status != 503:
        return answer.status >= 500
    # nginx answers for a process that went away, perhaps after it had read the request.
    return told.get("outcome") == "unknown" or "No process" in str(told.get("detail"))


@dataclass(slots=True)
class Ledger:
    """What all writers of a row did, and how they were answered."""

    operations: list[Operation] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    # When each request that was sent began (by the wall clock), and how many seconds its end took.
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def told(self, outcome: Outcome) -> int:
        """This will count the operations with an outcome."""
        return sum(operation.outcome is outcome for operation in self.operations)


class Writer:
    """One client that writes one operation after the other until it is told to stop."""

    def __init__(
        self, name: str, address: int | Path, key: str, references: Sequence[str], ledger: Ledger, *, seed: object,
        pause: tuple[float, float] = _PAUSE_SECONDS, resolves: float = 0.5,
    ) -> None:  # fmt: skip
        self._name, self._references, self._ledger = name, list(references), ledger
        self._chance = random.Random(f"{seed}/{name.partition('-')[2]}")  # noqa: S311  a drill is repeatable
        self._caller = Caller(address, key)
        self._pause, self._resolves = pause, resolves
        self._number = 0
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        """This will write until `stopped` is set; an operation under way is brought to its end."""
        try:
            while not self.stopped.is_set():
                known = (await self.write()).outcome is Outcome.OK
                await asyncio.sleep(self._chance.uniform(*(self._pause if known else _AFTER_FAILURE_SECONDS)))
        finally:
            await self._caller.close()

    async def write(self) -> Operation:
        """This will do one operation, and ask again by its key where its outcome is unknown, mostly."""
        operation = self._next()
        self._ledger.operations.append(operation)
        await self._attempt(operation)
        asks_again = self._chance.random() < self._resolves
        while operation.outcome is Outcome.UNKNOWN and asks_again and operation.attempts < _RETRIES:
            await asyncio.sleep(self._chance.uniform(*_AFTER_FAILURE_SECONDS))
            await self._attempt(operation)
        return operation

    async def close(self) -> None:
        """This will end the connection of a writer that does not `run`."""
        await self._caller.close()

    async def _attempt(self, operation: Operation) -> None:
        operation.attempts += 1
        began = time.time()
        try:
            answer = await self._caller.call(
                operation.method, operation.path, operation.body, If_Match="*", Idempotency_Key=operation.marker
            )
        except NotSent:
            return
        except NoAnswer:
            operation.outcome = Outcome.UNKNOWN
            self._ledger.seconds.append((began, time.time() - began))
            return
        operation.judge(answer)
        self._ledger.statuses[answer.status] += 1
        self._ledger.seconds.append((began, answer.seconds))
        if answer.status >= 300:
            self._ledger.refusals[f"{answer.status} {answer.body[:160].decode('latin-1')}"] += 1

    def _next(self) -> Operation:
        self._number += 1
        marker = f"{self._name}-{self._number}-{self._chance.getrandbits(40):010x}"
        reference = self._chance.choice(self._references)
        if self._chance.random() < 0.7:
            amendment = {"references": {"po": marker}, "pieces": self._chance.randrange(1, 1000)}
            return Operation(marker, reference, "PATCH", f"/api/shipments/{reference}", amendment)
        observation = {
            "classifier": "EST", "occurredAt": datetime.now(UTC).isoformat(), "source": "drill",
            "sourceEventId": marker, "note": marker,
        }  # fmt: skip
        return Operation(marker, reference, "POST", f"/api/shipments/{reference}/checkpoints", observation)
