"""Scenarios of PostgreSQL: restarted, sessions terminated, frozen, out of connections, cut at COMMIT."""

import asyncio
import random
import signal
import time
from pathlib import Path
from typing import Final

import psycopg

from tests.drills.checks.evidence import Evidence, percentile
from tests.drills.clients.http_client import HttpClient
from tests.drills.clients.writers import Outcome, Writer
from tests.drills.harness.fault_proxy import FaultProxy
from tests.drills.harness.product_stage import ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

# No request hangs longer than this, whatever PostgreSQL does.
MAX_REQUEST_SECONDS: Final = 5.0
# The health check knows of an outage after 2.25 s; the rest is for a busy machine.
KNOWN_AFTER_SECONDS: Final = 4.0
# Once it does.
MAX_REFUSAL_SECONDS: Final = 0.5
_TERMINATE_SESSIONS: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'freight'"
_CROSSING_WRITERS: Final = 40


async def restarted(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Shut PostgreSQL down at once and start it again; then terminate all sessions, again and again."""
    rng = random.Random(seed)
    async with Traffic(stage, "PostgreSQL restarted, sessions ended", seed=seed) as traffic:
        for _ in range(scale.restarts):
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            stage.database.crash()
            await asyncio.sleep(rng.uniform(0.3, 1.0))
            stage.database.launch()
            await asyncio.to_thread(stage.database.wait_ready)
        for _ in range(scale.kills):
            await asyncio.sleep(rng.uniform(0.3, 1.0))
            await asyncio.to_thread(_end_sessions, stage)
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20, 60)
        return await _evaluate(traffic)


async def frozen(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Freeze every process of PostgreSQL: connections stay open and no query is answered."""
    async with Traffic(stage, "PostgreSQL frozen", seed=seed) as traffic:
        await traffic.wait_for_writes(10)
        began = time.time()
        with stage.frozen(stage.database):
            await asyncio.sleep(scale.database_freeze_seconds)
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20, 60)
        evidence = await _evaluate(traffic)
        unready = traffic.probes.seconds_until(began, status=503)
        evidence.figures["ready says 503"] = {name: f"{seconds:.1f} s" for name, seconds in unready.items()}
        known = began + KNOWN_AFTER_SECONDS
        thawed = began + scale.database_freeze_seconds
        refused = [seconds for at, seconds in traffic.ledger.request_times if known < at < thawed - 1]
        median = percentile(refused, 0.5)
        evidence.figures["refused while it is known"] = f"{len(refused)}, p50 {median * 1000:.0f} ms"
        if not refused or median > MAX_REFUSAL_SECONDS:
            evidence.broken.append(f"{len(refused)} requests were refused, in {median:.2f} s (p50).")
        return evidence


async def out_of_connections(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Restart PostgreSQL with fewer connections than the processes' pools want."""
    async with Traffic(stage, "PostgreSQL with 20 connections", seed=seed) as traffic:
        stage.database.set_max_connections(20)
        try:
            await _restart(stage)
            for _ in range(20):
                traffic.add_writer(traffic.api_port)
            await asyncio.sleep(scale.trouble_seconds)
        finally:
            stage.database.set_max_connections()
            await _restart(stage)
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20, 60)
        return await _evaluate(traffic)


async def crossing_writers(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Have forty writers update two shipments at once, half of them in the opposite order."""
    async with Traffic(stage, "40 writers cross", seed=seed, writer_count=0, shipments=2) as traffic:
        before = await asyncio.to_thread(_count_deadlocks, stage)
        runs = (_run_crossing_writer(traffic, number, scale.crossings) for number in range(_CROSSING_WRITERS))
        statuses = await asyncio.gather(*runs)
        for status in (each for run_statuses in statuses for each in run_statuses):
            traffic.ledger.statuses[status] += 1
        traffic.mark_faults_over()
        # On a loaded machine the last of forty may wait for longer than `lock_timeout`.
        evidence = await traffic.evaluate(allowed_errors={503}, sockets_stay=True)
        deadlocks = await asyncio.to_thread(_count_deadlocks, stage) - before
        evidence.figures["deadlocks"] = deadlocks
        if deadlocks:
            evidence.broken.append(f"{deadlocks} deadlocks.")
        return evidence


async def unknown_commits(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Cut the connection at COMMIT, before or after it arrived: a retry under the same key resolves the outcome."""
    rng = random.Random(seed)
    spare = stage.declare_spare_api("spare-0")
    await asyncio.to_thread(_mark_keys_used, stage)
    async with Traffic(stage, "outcome of COMMIT unknown", seed=seed, writer_count=1) as traffic:
        async with FaultProxy(stage.database.socket) as proxy:
            spare.launch(database=("127.0.0.1", proxy.port))
            await spare.ready()
            resolved = await _resolve_cut_commits(traffic, proxy, spare.socket, rng, scale.unknowns)
            proxy.clear_faults()
            spare.signal(signal.SIGKILL)
            await spare.gone()
        traffic.mark_faults_over()
        evidence = await traffic.evaluate(allowed_errors={503}, sockets_stay=True)
        evidence.figures["said unknown and resolved by the key"] = f"{resolved} of {scale.unknowns}"
        if resolved != scale.unknowns:
            evidence.broken.append(
                f"Only {resolved} of {scale.unknowns} were said to be unknown and then resolved."
            )
        return evidence


async def _resolve_cut_commits(
    traffic: Traffic, proxy: FaultProxy, path: Path, rng: random.Random, times: int
) -> int:
    """Cut one COMMIT after the other, and count those answered as unknown and then resolved."""
    resolved = 0
    for number in range(times):
        writer = Writer(
            traffic.next_writer_name(),
            path,
            traffic.stage.seeded.api_keys[1],
            traffic.references,
            traffic.ledger,
            seed=number,
            retry_probability=1.0,
        )
        proxy.cut_at(b"COMMIT", deliver_first=rng.random() < 0.5)
        count_before = traffic.ledger.statuses[503]
        operation = await writer.write()
        await writer.close()
        resolved += operation.outcome is Outcome.OK and traffic.ledger.statuses[503] > count_before
    return resolved


async def _run_crossing_writer(traffic: Traffic, number: int, rounds: int) -> list[int]:
    references = traffic.references if number % 2 else list(reversed(traffic.references))
    keys = traffic.stage.seeded.api_keys
    client = HttpClient(traffic.stage.port, keys[number % len(keys)])
    statuses = []
    for turn in range(rounds):
        items = [
            {"op": "update", "reference": reference, "pieces": 1 + number * 100 + turn} for reference in references
        ]
        response = await client.request("POST", "/api/shipments/bulk", {"items": items})
        statuses.append(response.status)
        if response.status == 200 and response.json()["failed"]:
            statuses.append(response.json()["results"][0]["status"])
    await client.close()
    return statuses


def _end_sessions(stage: ProductStage) -> None:
    with psycopg.connect(stage.database.url, autocommit=True) as connection:
        connection.execute(_TERMINATE_SESSIONS)


def _mark_keys_used(stage: ProductStage) -> None:
    """Set the last use of every key an hour ahead, so that no request notes it by a COMMIT of its own."""
    with psycopg.connect(stage.database.url, autocommit=True) as connection:
        connection.execute("UPDATE shipments_apikey SET last_used_at = now() + interval '1 hour'")


def _count_deadlocks(stage: ProductStage) -> int:
    with psycopg.connect(stage.database.url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = 'freight'").fetchone()
    return int(row[0]) if row else 0


async def _restart(stage: ProductStage) -> None:
    stage.database.crash()
    stage.database.launch()
    await asyncio.to_thread(stage.database.wait_ready)


async def _evaluate(traffic: Traffic) -> Evidence:
    evidence = await traffic.evaluate(allowed_errors={503}, max_seconds=MAX_REQUEST_SECONDS, sockets_stay=True)
    evidence.figures["slowest request"] = (
        f"{max((each for _, each in traffic.ledger.request_times), default=0):.2f} s"
    )
    failures = [failure for failure in traffic.probes.failures("live") if failure.status]
    if failures:
        evidence.broken.append(f"A process said that it does not live: {failures[0]}")
    return evidence
