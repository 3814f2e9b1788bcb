"""REST clients that change shipments and keep a ledger of every operation and its outcome."""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tests.drills.clients.http_client import HttpClient, NoResponse, NotSent, Response

_PAUSE_SECONDS: Final = (0.01, 0.06)
_AFTER_FAILURE_SECONDS: Final = (0.1, 0.3)
_RETRIES: Final = 40
# A letter of two bytes for each hexadecimal digit: texts are limited in characters.
_TWO_BYTES_EACH: Final = {ord(digit): 0x430 + number for number, digit in enumerate("0123456789abcdef")}


class Outcome(StrEnum):
    """What the client knows of an operation's effect."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Operation:
    """One write under one Idempotency-Key, which is `marker` and part of the event."""

    marker: str
    reference: str
    method: str
    path: str
    body: dict[str, Any]
    outcome: Outcome = Outcome.FAILED
    attempts: int = 0

    def record_response(self, response: Response) -> None:
        """Set the outcome by a response."""
        if response.status < 300:
            self.outcome = Outcome.OK
        elif self.outcome is Outcome.UNKNOWN or _leaves_outcome_open(response):
            # A later refusal (key in flight, database down) leaves the outcome of the attempt before it open.
            self.outcome = Outcome.UNKNOWN


def _leaves_outcome_open(response: Response) -> bool:
    """Tell whether a response leaves open whether the write took effect."""
    if response.status in {502, 504}:
        return True
    problem = response.json()
    if not isinstance(problem, dict) or response.status != 503:
        return response.status >= 500
    # nginx answers for a process that went away, perhaps after it had read the request.
    return problem.get("outcome") == "unknown" or "No process" in str(problem.get("detail"))


@dataclass(slots=True)
class Ledger:
    """What all writers of a scenario did, and the responses that they got."""

    operations: list[Operation] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    # When each request that was sent began (wall clock), and the seconds to its end.
    request_times: list[tuple[float, float]] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """Count the operations with an outcome."""
        return sum(operation.outcome is outcome for operation in self.operations)


class Writer:
    """One client that writes one operation after the other until `stopped` is set.

    `retry_probability`: of retrying an operation whose outcome is unknown.
    """

    def __init__(
        self, name: str, address: int | Path, key: str, references: Sequence[str], ledger: Ledger, *, seed: object,
        pause: tuple[float, float] = _PAUSE_SECONDS, retry_probability: float = 0.5,
    ) -> None:  # fmt: skip
        self._name, self._references, self._ledger = name, list(references), ledger
        self._rng = random.Random(f"{seed}/{name.partition('-')[2]}")
        self._client = HttpClient(address, key)
        self._pause, self._retry_probability = pause, retry_probability
        self._number = 0
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        """Write until `stopped` is set, and finish the operation that is under way."""
        try:
            while not self.stopped.is_set():
                succeeded = (await self.write()).outcome is Outcome.OK
                await asyncio.sleep(self._rng.uniform(*(self._pause if succeeded else _AFTER_FAILURE_SECONDS)))
        finally:
            await self._client.close()

    async def write(self) -> Operation:
        """Do one operation, and mostly retry it under the same key where its outcome is unknown."""
        operation = self._next_operation()
        self._ledger.operations.append(operation)
        await self._attempt(operation)
        retries = self._rng.random() < self._retry_probability
        while operation.outcome is Outcome.UNKNOWN and retries and operation.attempts < _RETRIES:
            await asyncio.sleep(self._rng.uniform(*_AFTER_FAILURE_SECONDS))
            await self._attempt(operation)
        return operation

    async def close(self) -> None:
        """End the connection of a writer that does not `run`."""
        await self._client.close()

    async def _attempt(self, operation: Operation) -> None:
        operation.attempts += 1
        began = time.time()
        try:
            response = await self._client.request(
                operation.method, operation.path, operation.body, If_Match="*", Idempotency_Key=operation.marker
            )
        except NotSent:
            return
        except NoResponse:
            operation.outcome = Outcome.UNKNOWN
            self._ledger.request_times.append((began, time.time() - began))
            return
        operation.record_response(response)
        self._ledger.statuses[response.status] += 1
        self._ledger.request_times.append((began, response.seconds))
        if response.status >= 300:
            self._ledger.refusals[f"{response.status} {response.body[:160].decode('latin-1')}"] += 1

    def _next_operation(self) -> Operation:
        self._number += 1
        marker = f"{self._name}-{self._number}-{self._rng.getrandbits(40):010x}"
        reference = self._rng.choice(self._references)
        if self._rng.random() < 0.7:
            amendment = {"references": {"po": marker}, "pieces": self._rng.randrange(1, 1000)}
            return Operation(marker, reference, "PATCH", f"/api/shipments/{reference}", amendment)
        observation = {
            "classifier": "EST", "occurredAt": datetime.now(UTC).isoformat(), "source": "drill",
            "sourceEventId": marker, "note": marker,
        }  # fmt: skip
        return Operation(marker, reference, "POST", f"/api/shipments/{reference}/checkpoints", observation)


def wide_references(width: int) -> dict[str, str]:
    """Return `width` new references of a shipment, some 140 bytes each."""
    return {f"r{number}": (uuid.uuid4().hex * 2).translate(_TWO_BYTES_EACH) for number in range(width)}
