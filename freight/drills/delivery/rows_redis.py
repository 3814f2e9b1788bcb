"""Rows: Redis killed, down, frozen, emptied and full. It only carries hints, so nothing may be missed."""

import asyncio
import contextlib
import random
import time
from typing import Final

import redis

from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.stage import Stage

LATE_SECONDS: Final = 2.5
SLOWEST_SECONDS: Final = 1.0
DEGRADED_SECONDS: Final = 5.0
_DOWN_SECONDS: Final = 3.0


async def killed(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Redis killed again and again, each time back after three seconds."""
    chance = random.Random(seed)  # noqa: S311  a drill is repeatable
    async with Scene(stage, "Redis killed", seed=seed) as scene:
        for _ in range(scale.kills):
            stage.hints.kill()
            await asyncio.sleep(_DOWN_SECONDS)
            _back(stage)
            await asyncio.sleep(chance.uniform(0.2, 1.0))
        scene.calm()
        await scene.written(20)
        return await _judged(scene)


async def down(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Redis down from before the first join to the end."""
    stage.hints.kill()
    began = time.time()
    try:
        async with Scene(stage, "Redis down", seed=seed) as scene:
            await asyncio.sleep(max(DEGRADED_SECONDS, scale.down_seconds))
            await scene.watch(3)
            await scene.written(20)
            scene.calm()
            return await _judged(scene, degraded_since=began)
    finally:
        _back(stage)


async def frozen(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Redis frozen: it takes connections and says nothing."""
    async with Scene(stage, "Redis frozen", seed=seed) as scene:
        await scene.written(20)
        began = time.time()
        stage.frozen(stage.hints.freeze())
        try:
            await asyncio.sleep(scale.freeze_seconds / 2)
            await scene.watch(3)
            await asyncio.sleep(max(0.0, began + scale.freeze_seconds - time.time()))
        finally:
            stage.hints.thaw()
            stage.thawed()
        scene.calm()
        await scene.written(20)
        return await _judged(scene, degraded_since=began)


async def troubled(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """FLUSHALL and CLIENT KILL each second, and hardly any memory."""
    async with Scene(stage, "Redis flushed, full, its clients killed", seed=seed) as scene:
        with contextlib.closing(stage.hints.client()) as client:
            client.config_set("maxmemory", "1mb")
            try:
                for number in range(int(scale.trouble_seconds)):
                    client.flushall()
                    _kill_clients(client, "pubsub" if number % 2 else "normal")
                    await asyncio.sleep(1)
            finally:
                client.config_set("maxmemory", "256mb")
        scene.calm()
        await scene.written(20)
        return await _judged(scene)


def _kill_clients(client: "redis.Redis", kind: str) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")  # type: ignore[no-untyped-call]


def _back(stage: Stage) -> None:
    stage.hints.launch()
    stage.hints.wait_ready()


async def _judged(scene: Scene, *, degraded_since: float | None = None) -> Evidence:
    evidence = await scene.judge(late=LATE_SECONDS, slowest=SLOWEST_SECONDS, sockets_stay=True)
    evidence.figures["slowest request"] = f"{max((each for _, each in scene.ledger.seconds), default=0):.2f} s"
    if degraded_since is not None:
        said = scene.probes.first(degraded_since, degraded="redis")
        evidence.figures["ready says degraded"] = {name: f"{seconds:.1f} s" for name, seconds in said.items()}
        for name in sorted(scene.probes.names):
            seconds = said.get(name)
            slack = scene.stalls.within(degraded_since, degraded_since + DEGRADED_SECONDS)
            if seconds is None or seconds > DEGRADED_SECONDS + slack:
                evidence.broken.append(f"{name} said {seconds} s after the fault that Redis is degraded.")
    return evidence
