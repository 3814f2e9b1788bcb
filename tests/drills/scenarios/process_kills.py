"""Scenarios of kills: processes of the product die at the worst moments."""

import asyncio
import random
import signal
from typing import Final

from tests.drills.checks import checker
from tests.drills.checks.evidence import Evidence, percentile
from tests.drills.clients.writers import Outcome, Writer
from tests.drills.harness import failpoints
from tests.drills.harness.product_stage import WS_ROLES, ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

MAX_LATENCY_SECONDS: Final = 2.5
MAX_RECOVERY_SECONDS: Final = 3.0
# Killed at a time: each needs a start and a sweep.
_BATCH: Final = 5


async def sockets_killed(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Kill the two ws Daphnes in turn, under writes, and start each again."""
    rng = random.Random(seed)
    async with Traffic(stage, "ws Daphne killed", seed=seed, subscriber_count=24) as traffic:
        for number in range(scale.kills):
            await asyncio.sleep(rng.uniform(0.3, 1.0))
            await stage[WS_ROLES[number % len(WS_ROLES)]].kill_and_restart()
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        evidence = await traffic.evaluate()
        outage_seconds = [
            max(0.0, seconds - traffic.scheduling_delay.seconds_between(at, at + seconds))
            for subscriber in traffic.subscribers
            for at, seconds in subscriber.stats.outages
        ]
        if percentile(outage_seconds, 0.95) >= MAX_RECOVERY_SECONDS:
            evidence.broken.append(
                f"p95 of a client until it is whole again: {percentile(outage_seconds, 0.95):.2f} s."
            )
        return evidence


async def relay_killed(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Kill the relay, which numbers the feed, at random."""
    rng = random.Random(seed)
    async with Traffic(stage, "relay killed", seed=seed) as traffic:
        for _ in range(scale.relay_kills):
            await asyncio.sleep(rng.uniform(0.1, 0.8))
            stage["relay"].signal(signal.SIGKILL)
            await stage["relay"].gone()
            await asyncio.sleep(rng.uniform(0, 0.3))
            stage["relay"].launch()
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        return await traffic.evaluate(max_latency=MAX_LATENCY_SECONDS, sockets_stay=True)


async def killed_after_commit(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Kill api processes between COMMIT and hint: the event is in the log alone."""
    row = "killed between COMMIT and hint"
    async with Traffic(stage, row, seed=seed, writer_count=1, shipments=_BATCH) as traffic:
        markers = await _die_at_failpoint(traffic, scale.failpoints, failpoints.AFTER_COMMIT, seed)
        evidence = await traffic.evaluate(max_latency=MAX_LATENCY_SECONDS, sockets_stay=True)
        await _check_occurrences(traffic, evidence, markers, expected_count=1)
        return evidence


async def killed_before_commit(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Kill api processes before COMMIT: neither state nor event may remain."""
    async with Traffic(stage, "killed before COMMIT", seed=seed, writer_count=1, shipments=_BATCH) as traffic:
        markers = await _die_at_failpoint(traffic, scale.failpoints, failpoints.BEFORE_COMMIT, seed)
        evidence = await traffic.evaluate(sockets_stay=True)
        await _check_occurrences(traffic, evidence, markers, expected_count=0)
        return evidence


async def _die_at_failpoint(traffic: Traffic, times: int, failpoint: str, seed: int) -> list[str]:
    """Have api processes die at a failpoint, one write each, and return the writes' markers."""
    markers: list[str] = []
    while len(markers) < times:
        batch = range(min(_BATCH, times - len(markers)))
        markers += await asyncio.gather(
            *(_write_and_die(traffic, number, failpoint, f"{seed}/{len(markers)}") for number in batch)
        )
    traffic.mark_faults_over()
    return markers


async def _write_and_die(traffic: Traffic, number: int, failpoint: str, seed: str) -> str:
    stage = traffic.stage
    spare = stage.declare_spare_api(f"spare-{number}")
    spare.launch(failpoint=failpoint)
    await spare.ready()
    writer = Writer(
        traffic.next_writer_name(),
        spare.socket,
        stage.seeded.api_keys[number],
        [traffic.references[number]],
        traffic.ledger,
        seed=seed,
        retry_probability=0,
    )
    operation = await writer.write()
    await writer.close()
    await spare.gone()
    if operation.outcome is not Outcome.UNKNOWN:
        raise RuntimeError(f"The failpoint did not strike: {operation}\n{stage.log_tails()}")
    return operation.marker


async def _check_occurrences(
    traffic: Traffic, evidence: Evidence, markers: list[str], *, expected_count: int
) -> None:
    log = await asyncio.to_thread(checker.read_event_log, traffic.stage.database.url, traffic.references)
    markers_in_log = [marker for events in log.events.values() for event in events for marker in event.markers]
    matching = sum(markers_in_log.count(marker) == expected_count for marker in markers)
    evidence.figures["as promised"] = f"{matching} of {len(markers)}"
    if matching != len(markers):
        evidence.broken.append(f"{matching} of {len(markers)} writes are {expected_count} times in the log.")
