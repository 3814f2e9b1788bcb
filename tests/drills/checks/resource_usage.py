"""What a scenario measures of the stage: memory, descriptors, sessions, queries."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any, Final, Self

import psycopg

from tests.drills.checks.evidence import Evidence
from tests.drills.harness import procfs
from tests.drills.harness.product_stage import WS_ROLES, ProductStage

MIB: Final = 1024 * 1024
MAX_SLOPE: Final = 1.0  # MiB in ten minutes
_TEN_MINUTES: Final = 600.0
_POLL_SECONDS: Final = 0.05
# The first rounds warm the processes up.
_WARM_UP_ROUNDS: Final = 3
# A pool may just be growing; a socket that stays is no such thing: there are dozens in a round.
_ALLOWED_GROWTH: Final = 8
_LIVE_SESSIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'freight live'"
_SESSIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'freight'"
_EVENT_LOG_READS: Final = """
SELECT coalesce(sum(calls), 0) FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
 WHERE rolname = 'freight' AND query LIKE 'SELECT %FROM "shipments_shipmentevent"%'
"""


def resident_memory(stage: ProductStage) -> dict[str, int]:
    """Return the resident memory of each ws Daphne, in bytes."""
    return {name: procfs.resident_bytes(stage[name].pid) for name in WS_ROLES}


class PeakUsage:
    """The peaks of memory and sessions for the length of an `async with` block, sampled every 50 ms."""

    def __init__(self, stage: ProductStage) -> None:
        self.memory = resident_memory(stage)
        self.live_sessions = 0
        self._stage = stage
        self._session = psycopg.connect(stage.database.url, autocommit=True)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._sample()
        self._session.close()

    async def _poll(self) -> None:
        while True:
            self._sample()
            await asyncio.sleep(_POLL_SECONDS)

    def _sample(self) -> None:
        self.memory = {
            name: max(resident, self.memory[name]) for name, resident in resident_memory(self._stage).items()
        }
        self.live_sessions = max(self.live_sessions, _fetch_int(self._session, _LIVE_SESSIONS))


def reset_query_statistics(stage: ProductStage) -> None:
    """Reset PostgreSQL's statistics of queries."""
    with psycopg.connect(stage.database.url, autocommit=True) as session:
        session.execute("SELECT pg_stat_statements_reset()")


def count_event_log_reads(stage: ProductStage) -> int:
    """Return how often events were read since the statistics were reset."""
    with psycopg.connect(stage.database.url, autocommit=True) as session:
        return _fetch_int(session, _EVENT_LOG_READS)


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What the stage holds at a moment; `memory` (bytes) and `files` by ws Daphne."""

    at: float
    memory: dict[str, int]
    files: dict[str, int]
    sessions: int
    redis: int

    def bounded_counts(self) -> dict[str, int]:
        """Return the counts that must stay flat."""
        return {f"descriptors of {name}": files for name, files in self.files.items()} | {
            "sessions of PostgreSQL": self.sessions,
            "connections of Redis": self.redis,
        }


def sample_usage(stage: ProductStage) -> ResourceUsage:
    """Sample the stage."""
    with contextlib.closing(stage.valkey.client()) as client:
        client_info: Any = client.info("clients")
        connections = int(client_info["connected_clients"])
    with psycopg.connect(stage.database.url, autocommit=True) as session:
        sessions = _fetch_int(session, _SESSIONS)
    files = {name: procfs.open_files(stage[name].pid) for name in WS_ROLES}
    return ResourceUsage(time.monotonic(), resident_memory(stage), files, sessions, connections)


def check_growth(samples: list[ResourceUsage], evidence: Evidence) -> None:
    """Add to the evidence what has grown since the processes were warm."""
    warm = samples[_WARM_UP_ROUNDS:]
    for name in WS_ROLES:
        growth = (warm[-1].memory[name] - warm[0].memory[name]) / MIB
        slope = _slope([(each.at, each.memory[name] / MIB) for each in warm]) * _TEN_MINUTES
        evidence.figures[f"memory of {name}"] = (
            f"{samples[0].memory[name] / MIB:.1f} MiB, warm {warm[0].memory[name] / MIB:.1f}, then {growth:+.2f} in"
            f" {warm[-1].at - warm[0].at:.0f} s: {slope:+.2f} in ten minutes"
        )
        # In a short run the slope is noise: a smaller growth may be the allocator's.
        if slope > MAX_SLOPE and growth > MAX_SLOPE:
            evidence.broken.append(f"{name} grows by {slope:.2f} MiB in ten minutes.")
    for resource, last in warm[-1].bounded_counts().items():
        first = max(each.bounded_counts()[resource] for each in samples[1 : _WARM_UP_ROUNDS + 1])
        evidence.figures[resource] = f"warm {first}, at last {last}"
        if last > first + _ALLOWED_GROWTH:
            evidence.broken.append(f"{resource}: {first} became {last}.")


def _slope(points: list[tuple[float, float]]) -> float:
    """Return the median of the slopes between all pairs, which single jumps do not bend."""
    return median((later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in combinations(points, 2))


def _fetch_int(session: "psycopg.Connection[tuple[int, ...]]", sql: str) -> int:
    row = session.execute(sql.encode()).fetchone()
    return int(row[0]) if row else 0
