"""What a row measures of the stage's processes: memory, descriptors, sessions, queries."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any, Final, Self

import psycopg

from freight.drills.delivery import kernel
from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.stage import SOCKETS, Stage

MIB: Final = 1024 * 1024
MOST_SLOPE: Final = 1.0  # MiB in ten minutes
_TEN_MINUTES: Final = 600.0
_LOOK_SECONDS: Final = 0.05
# The first rounds warm the processes up.
_WARM_UP_ROUNDS: Final = 3
# A pool may just be growing; a socket that stays is no such thing: there are dozens in a round.
_FLAT: Final = 8
_LIVE: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'freight live'"
_SESSIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'freight'"
_OF_THE_LOG: Final = """
SELECT coalesce(sum(calls), 0) FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
 WHERE rolname = 'freight' AND query LIKE 'SELECT %FROM "shipments_shipmentevent"%'
"""


def memory(stage: Stage) -> dict[str, int]:
    """This will return the memory of each ws Daphne."""
    return {name: kernel.resident_bytes(stage.roles[name].pid) for name in SOCKETS}


class Peak:
    """The most of something, looked at again and again for the length of an `async with` block."""

    def __init__(self, stage: Stage) -> None:
        self.memory = memory(stage)
        self.live_sessions = 0
        self._stage = stage
        self._session = psycopg.connect(stage.database.url, autocommit=True)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._look()
        self._session.close()

    async def _look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    def _look(self) -> None:
        self.memory = {name: max(held, self.memory[name]) for name, held in memory(self._stage).items()}
        self.live_sessions = max(self.live_sessions, _number(self._session, _LIVE))


def forget_queries(stage: Stage) -> None:
    """This will have PostgreSQL count queries from now on."""
    with psycopg.connect(stage.database.url, autocommit=True) as session:
        session.execute("SELECT pg_stat_statements_reset()")


def reads_of_the_log(stage: Stage) -> int:
    """This will return how often events were read, by whomever, since the queries were forgotten."""
    with psycopg.connect(stage.database.url, autocommit=True) as session:
        return _number(session, _OF_THE_LOG)


@dataclass(frozen=True, slots=True)
class Held:
    """What the stage holds at a moment, `memory` and `files` by ws Daphne."""

    at: float
    memory: dict[str, int]
    files: dict[str, int]
    sessions: int
    redis: int

    def others(self) -> dict[str, int]:
        """This will return what must stay flat."""
        return {f"descriptors of {name}": files for name, files in self.files.items()} | {
            "sessions of PostgreSQL": self.sessions,
            "connections of Redis": self.redis,
        }


def held(stage: Stage) -> Held:
    """This will look at the stage now."""
    with contextlib.closing(stage.hints.client()) as client:
        told: Any = client.info("clients")
        connections = int(told["connected_clients"])
    with psycopg.connect(stage.database.url, autocommit=True) as session:
        sessions = _number(session, _SESSIONS)
    files = {name: kernel.open_files(stage.roles[name].pid) for name in SOCKETS}
    return Held(time.monotonic(), memory(stage), files, sessions, connections)


def judge_rounds(rounds: list[Held], evidence: Evidence) -> None:
    """This will expect that nothing has grown since the processes were warm."""
    warm = rounds[_WARM_UP_ROUNDS:]
    for name in SOCKETS:
        grown = (warm[-1].memory[name] - warm[0].memory[name]) / MIB
        slope = _slope([(each.at, each.memory[name] / MIB) for each in warm]) * _TEN_MINUTES
        evidence.figures[f"memory of {name}"] = (
            f"{rounds[0].memory[name] / MIB:.1f} MiB, warm {warm[0].memory[name] / MIB:.1f}, then {grown:+.2f} in"
            f" {warm[-1].at - warm[0].at:.0f} s: {slope:+.2f} in ten minutes"
        )
        # In a short run the slope is noise; what grows by less than this in it is not told from the allocator.
        if slope > MOST_SLOPE and grown > MOST_SLOPE:
            evidence.broken.append(f"{name} grows by {slope:.2f} MiB in ten minutes.")
    for what, at_last in warm[-1].others().items():
        at_first = max(each.others()[what] for each in rounds[1 : _WARM_UP_ROUNDS + 1])
        evidence.figures[what] = f"warm {at_first}, at last {at_last}"
        if at_last > at_first + _FLAT:
            evidence.broken.append(f"{what}: {at_first} became {at_last}.")


def _slope(points: list[tuple[float, float]]) -> float:
    """This will return the median of the slopes between all pairs, which single jumps do not bend."""
    return median((later[1] - sooner[1]) / (later[0] - sooner[0]) for sooner, later in combinations(points, 2))


def _number(session: "psycopg.Connection[tuple[int, ...]]", sql: str) -> int:
    row = session.execute(sql.encode()).fetchone()
    return int(row[0]) if row else 0
