"""Scenarios of Redis: killed, down, frozen, flushed and full. It only carries hints, so nothing may be missed."""

import asyncio
import contextlib
import random
import time
from typing import Final

import redis

from tests.drills.checks.evidence import Evidence
from tests.drills.harness.product_stage import ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

MAX_LATENCY_SECONDS: Final = 2.5
MAX_REQUEST_SECONDS: Final = 1.0
MAX_DEGRADED_SECONDS: Final = 5.0
_DOWN_SECONDS: Final = 3.0


async def killed(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Kill Redis again and again, and start it three seconds later."""
    rng = random.Random(seed)
    async with Traffic(stage, "Redis killed", seed=seed) as traffic:
        for _ in range(scale.kills):
            stage.valkey.kill()
            await asyncio.sleep(_DOWN_SECONDS)
            _restart_valkey(stage)
            await asyncio.sleep(rng.uniform(0.2, 1.0))
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        return await _evaluate(traffic)


async def down(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Keep Redis down from before the first join to the end."""
    stage.valkey.kill()
    began = time.time()
    try:
        async with Traffic(stage, "Redis down", seed=seed) as traffic:
            await asyncio.sleep(max(MAX_DEGRADED_SECONDS, scale.down_seconds))
            await traffic.add_subscribers(3)
            await traffic.wait_for_writes(20)
            traffic.mark_faults_over()
            return await _evaluate(traffic, degraded_since=began)
    finally:
        _restart_valkey(stage)


async def frozen(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Freeze Redis: it takes connections and answers nothing."""
    async with Traffic(stage, "Redis frozen", seed=seed) as traffic:
        await traffic.wait_for_writes(20)
        began = time.time()
        with stage.frozen(stage.valkey):
            await asyncio.sleep(scale.freeze_seconds / 2)
            await traffic.add_subscribers(3)
            await asyncio.sleep(max(0.0, began + scale.freeze_seconds - time.time()))
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        return await _evaluate(traffic, degraded_since=began)


async def flushed_and_full(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Send FLUSHALL and CLIENT KILL each second, with hardly any memory."""
    async with Traffic(stage, "Redis flushed, full, its clients killed", seed=seed) as traffic:
        with contextlib.closing(stage.valkey.client()) as client:
            client.config_set("maxmemory", "1mb")
            try:
                for number in range(int(scale.trouble_seconds)):
                    client.flushall()
                    _kill_clients(client, "pubsub" if number % 2 else "normal")
                    await asyncio.sleep(1)
            finally:
                client.config_set("maxmemory", "256mb")
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        return await _evaluate(traffic)


def _kill_clients(client: "redis.Redis", kind: str) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")  # type: ignore[no-untyped-call]  # no hints in redis-py


def _restart_valkey(stage: ProductStage) -> None:
    stage.valkey.launch()
    stage.valkey.wait_ready()


async def _evaluate(traffic: Traffic, *, degraded_since: float | None = None) -> Evidence:
    evidence = await traffic.evaluate(
        max_latency=MAX_LATENCY_SECONDS, max_seconds=MAX_REQUEST_SECONDS, sockets_stay=True
    )
    evidence.figures["slowest request"] = (
        f"{max((each for _, each in traffic.ledger.request_times), default=0):.2f} s"
    )
    if degraded_since is not None:
        seconds_by_role = traffic.probes.seconds_until(degraded_since, degraded="redis")
        evidence.figures["ready says degraded"] = {
            name: f"{seconds:.1f} s" for name, seconds in seconds_by_role.items()
        }
        for name in sorted(traffic.probes.probed_roles):
            seconds = seconds_by_role.get(name)
            slack = traffic.scheduling_delay.seconds_between(degraded_since, degraded_since + MAX_DEGRADED_SECONDS)
            if seconds is None or seconds > MAX_DEGRADED_SECONDS + slack:
                evidence.broken.append(f"{name} said {seconds} s after the fault that Redis is degraded.")
    return evidence
