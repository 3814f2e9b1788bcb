"""Rows: PostgreSQL restarted, its sessions ended, frozen, short of connections, and cut off at COMMIT."""

import asyncio
import random
import signal
import time
from pathlib import Path
from typing import Final

import psycopg

from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.faultproxy import FaultProxy
from freight.drills.delivery.requests import Caller
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.stage import Stage
from freight.drills.delivery.writers import Outcome, Writer

# No request hangs longer than this, whatever PostgreSQL does.
SLOWEST_SECONDS: Final = 5.0
_ENDED: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'freight'"
_CROSSING_AT_ONCE: Final = 40


async def restarted(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """The immediate shutdown, and a start that recovers; then all sessions ended, again and again."""
    chance = random.Random(seed)  # noqa: S311  a drill is repeatable
    async with Scene(stage, "PostgreSQL restarted, sessions ended", seed=seed) as scene:
        for _ in range(scale.restarts):
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            stage.database.crash()
            await asyncio.sleep(chance.uniform(0.3, 1.0))
            stage.database.launch()
            await asyncio.to_thread(stage.database.wait_ready)
        for _ in range(scale.kills):
            await asyncio.sleep(chance.uniform(0.3, 1.0))
            await asyncio.to_thread(_end_sessions, stage)
        scene.calm()
        await scene.written(20, 60)
        return await _judged(scene)


async def frozen(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Every process of PostgreSQL stopped: connections stand and nothing is answered."""
    async with Scene(stage, "PostgreSQL frozen", seed=seed) as scene:
        await scene.written(10)
        began = time.time()
        stage.frozen(stage.database.freeze())
        try:
            await asyncio.sleep(scale.database_freeze_seconds)
        finally:
            stage.database.thaw()
            stage.thawed()
        scene.calm()
        await scene.written(20, 60)
        evidence = await _judged(scene)
        said = scene.probes.first(began, status=503)
        evidence.figures["ready says 503"] = {name: f"{seconds:.1f} s" for name, seconds in said.items()}
        return evidence


async def crowded(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """PostgreSQL with so few connections that not everybody gets one."""
    async with Scene(stage, "PostgreSQL with 20 connections", seed=seed) as scene:
        stage.database.allow(20)
        try:
            await _restart(stage)
            for _ in range(20):
                scene.write(scene.api_port)
            await asyncio.sleep(scale.trouble_seconds)
        finally:
            stage.database.allow()
            await _restart(stage)
        scene.calm()
        await scene.written(20, 60)
        return await _judged(scene)


async def crossing(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Forty writers over two shipments, half of them the other way round."""
    async with Scene(stage, "40 writers cross", seed=seed, writing=0, shipments=2) as scene:
        before = await asyncio.to_thread(_deadlocks, stage)
        writers = (_cross(scene, number, scale.crossings) for number in range(_CROSSING_AT_ONCE))
        statuses = await asyncio.gather(*writers)
        for status in (each for found in statuses for each in found):
            scene.ledger.statuses[status] += 1
        scene.calm()
        # On a machine that is busy elsewhere the last of forty may wait for longer than a lock is waited for.
        evidence = await scene.judge(errors={503}, sockets_stay=True)
        deadlocks = await asyncio.to_thread(_deadlocks, stage) - before
        evidence.figures["deadlocks"] = deadlocks
        if deadlocks:
            evidence.broken.append(f"{deadlocks} deadlocks.")
        return evidence


async def unknown(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """The connection cut at COMMIT, before or after it arrived: the same key resolves what nobody knows."""
    chance = random.Random(seed)  # noqa: S311  a drill is repeatable
    name = "spare-0"
    path = stage.spare(name)
    await asyncio.to_thread(_note_use, stage)
    async with Scene(stage, "outcome of COMMIT unknown", seed=seed, writing=1) as scene:
        async with FaultProxy(stage.database.socket) as between:
            stage.launch(name, database=("127.0.0.1", between.port))
            await stage.ready(name)
            said = await _cut_commits(scene, between, path, chance, scale.unknowns)
            between.heal()
            stage.signal(name, signal.SIGKILL)
            await stage.gone(name)
        scene.calm()
        evidence = await scene.judge(errors={503}, sockets_stay=True)
        evidence.figures["said unknown and resolved by the key"] = f"{said} of {scale.unknowns}"
        if said != scale.unknowns:
            evidence.broken.append(f"Only {said} of {scale.unknowns} were said to be unknown and then resolved.")
        return evidence


async def _cut_commits(scene: Scene, between: FaultProxy, path: Path, chance: random.Random, times: int) -> int:
    """This will cut one COMMIT after the other, and count those that were told as unknown and then resolved."""
    resolved = 0
    for number in range(times):
        writer = Writer(
            scene.name_writer(),
            path,
            scene.stage.keys[1],
            scene.references,
            scene.ledger,
            seed=number,
            resolves=1.0,
        )
        between.cut_at(b"COMMIT", arrives=chance.random() < 0.5)
        before = scene.ledger.statuses[503]
        operation = await writer.write()
        await writer.close()
        resolved += operation.outcome is Outcome.OK and scene.ledger.statuses[503] > before
    return resolved


async def _cross(scene: Scene, number: int, rounds: int) -> list[int]:
    references = scene.references if number % 2 else list(reversed(scene.references))
    caller = Caller(scene.stage.port, scene.stage.keys[number % len(scene.stage.keys)])
    found = []
    for turn in range(rounds):
        items = [
            {"op": "update", "reference": reference, "pieces": 1 + number * 100 + turn} for reference in references
        ]
        answer = await caller.call("POST", "/api/shipments/bulk", {"items": items})
        found.append(answer.status)
        if answer.status == 200 and answer.json()["failed"]:
            found.append(answer.json()["results"][0]["status"])
    await caller.close()
    return found


def _end_sessions(stage: Stage) -> None:
    with psycopg.connect(stage.database.url, autocommit=True) as connection:
        connection.execute(_ENDED)


def _note_use(stage: Stage) -> None:
    """This will note the use of every key for an hour to come: else a request does so by a COMMIT of its own."""
    with psycopg.connect(stage.database.url, autocommit=True) as connection:
        connection.execute("UPDATE shipments_apikey SET last_used_at = now() + interval '1 hour'")


def _deadlocks(stage: Stage) -> int:
    with psycopg.connect(stage.database.url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = 'freight'").fetchone()
    return int(row[0]) if row else 0


async def _restart(stage: Stage) -> None:
    stage.database.crash()
    stage.database.launch()
    await asyncio.to_thread(stage.database.wait_ready)


async def _judged(scene: Scene) -> Evidence:
    evidence = await scene.judge(errors={503}, slowest=SLOWEST_SECONDS, sockets_stay=True)
    evidence.figures["slowest request"] = f"{max((each for _, each in scene.ledger.seconds), default=0):.2f} s"
    dead = [said for said in scene.probes.bad("live") if said.status]
    if dead:
        evidence.broken.append(f"A process said that it does not live: {dead[0]}")
    return evidence
