"""The delivery drill: the rows of the fault table, one after the other on one stage."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from freight.drills.delivery import (
    rows_clients,
    rows_interleaving,
    rows_network,
    rows_postgres,
    rows_processes,
    rows_readers,
    rows_redis,
    rows_restart,
)
from freight.drills.delivery.evidence import COLUMNS, Evidence
from freight.drills.delivery.scale import LONG, SHORT, ScenarioScale
from freight.drills.delivery.stage import ProductStage, running_stage

Scenario = Callable[[ProductStage, ScenarioScale, int], Awaitable[Evidence]]

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "redis-killed": rows_redis.killed,
    "redis-down": rows_redis.down,
    "redis-frozen": rows_redis.frozen,
    "redis-troubled": rows_redis.flushed_and_full,
    "sockets-killed": rows_processes.sockets_killed,
    "killed-after-commit": rows_processes.killed_after_commit,
    "killed-before-commit": rows_processes.killed_before_commit,
    "relay-killed": rows_processes.relay_killed,
    "postgres-restarted": rows_postgres.restarted,
    "postgres-frozen": rows_postgres.frozen,
    "postgres-crowded": rows_postgres.out_of_connections,
    "writers-cross": rows_postgres.crossing_writers,
    "commit-unknown": rows_postgres.unknown_commits,
    "rolling-restart": rows_restart.rolling_restart,
    "network": rows_network.slow_and_cut,
    "burst": rows_clients.burst_to_one_room,
    "readers-stop": rows_readers.stopped_readers,
    "dropped-at-once": rows_clients.all_dropped_at_once,
    "churn": rows_clients.socket_churn,
    "revoked-without-redis": rows_clients.revoked_without_redis,
    "interleaving": rows_interleaving.random_interleaving,
}


def run_scenario(stage: ProductStage, name: str, scale: ScenarioScale, seed: int) -> Evidence:
    """This will play one row on a stage and return its evidence."""

    async def run_it() -> Evidence:
        return await SCENARIOS[name](stage, scale, seed)

    return asyncio.run(run_it())


def run(*, quick: bool, seed: int, names: Sequence[str], log: Callable[[str], object]) -> list[Evidence]:
    """This will play the rows, all of them where none is named, and tell each when it is over."""
    log(" | ".join(COLUMNS))
    results = []
    with running_stage() as stage:
        for name in names or SCENARIOS:
            evidence = run_scenario(stage, name, SHORT if quick else LONG, seed)
            results.append(evidence)
            log(" | ".join([*evidence.cells(), f"{evidence.seconds:.0f} s"]))
            for line in str(evidence).splitlines()[1:]:
                log(line)
    return results
