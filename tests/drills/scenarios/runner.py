"""Runs the scenarios of the delivery drill, one after the other on one stage."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from tests.drills.checks.evidence import COLUMNS, Evidence
from tests.drills.harness.presets import fault_stage
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import describe
from tests.drills.scenarios import (
    client_load,
    hostile_clients,
    network_faults,
    postgres_faults,
    process_freezes,
    process_kills,
    random_interleaving,
    redis_faults,
    rolling_restart,
    slow_consumers,
)
from tests.drills.scenarios.scale import LONG, SHORT, ScenarioScale

Scenario = Callable[[ProductStage, ScenarioScale, int], Awaitable[Evidence]]

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "redis-killed": redis_faults.killed,
    "redis-down": redis_faults.down,
    "redis-frozen": redis_faults.frozen,
    "redis-troubled": redis_faults.flushed_and_full,
    "sockets-killed": process_kills.sockets_killed,
    "killed-after-commit": process_kills.killed_after_commit,
    "killed-before-commit": process_kills.killed_before_commit,
    "api-frozen": process_freezes.api_frozen,
    "ws-frozen": process_freezes.ws_frozen,
    "relay-killed": process_kills.relay_killed,
    "postgres-restarted": postgres_faults.restarted,
    "postgres-frozen": postgres_faults.frozen,
    "postgres-crowded": postgres_faults.out_of_connections,
    "writers-cross": postgres_faults.crossing_writers,
    "commit-unknown": postgres_faults.unknown_commits,
    "rolling-restart": rolling_restart.rolling_restart,
    "network": network_faults.slow_and_cut,
    "burst": client_load.burst_to_one_room,
    "readers-stop": slow_consumers.stopped_readers,
    "dropped-at-once": client_load.all_dropped_at_once,
    "churn": client_load.socket_churn,
    "revoked-without-redis": client_load.revoked_without_redis,
    "silent-clients": hostile_clients.silent_clients,
    "random-paths": hostile_clients.random_paths,
    "interleaving": random_interleaving.random_interleaving,
}


def run_scenario(stage: ProductStage, name: str, scale: ScenarioScale, seed: int) -> Evidence:
    """Run one scenario on a stage and return its evidence."""

    async def run_it() -> Evidence:
        return await SCENARIOS[name](stage, scale, seed)

    return asyncio.run(run_it())


def _run_or_report(stage: ProductStage, name: str, scale: ScenarioScale, seed: int) -> Evidence:
    """Run one scenario; one that ends early did not hold, and the next one runs all the same."""
    try:
        return run_scenario(stage, name, scale, seed)
    except Exception as error:  # noqa: BLE001  whatever ends a row is its evidence
        return Evidence(name, broken=[f"It ended early by {describe(error)}"])


def run(*, quick: bool, seed: int, names: Sequence[str], log: Callable[[str], object]) -> list[Evidence]:
    """Run scenarios, all of them where none is named, and log a row of the fault table for each."""
    log(" | ".join(COLUMNS))
    results = []
    with fault_stage() as stage:
        for name in names or SCENARIOS:
            evidence = _run_or_report(stage, name, SHORT if quick else LONG, seed)
            results.append(evidence)
            log(" | ".join([*evidence.cells(), f"{evidence.seconds:.0f} s"]))
            for line in str(evidence).splitlines()[1:]:
                log(line)
    return results
