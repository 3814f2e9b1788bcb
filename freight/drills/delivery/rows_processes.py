"""Rows: processes of the product killed, at the worst moments that there are."""

import asyncio
import random
import signal
from typing import Final

from freight.drills.delivery import checker, failpoints
from freight.drills.delivery.evidence import Evidence, percentile
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.stage import SOCKETS, Stage
from freight.drills.delivery.writers import Outcome, Writer

LATE_SECONDS: Final = 2.5
WHOLE_SECONDS: Final = 3.0
# So many die at a time: each needs a start and a sweep.
_AT_ONCE: Final = 5


async def sockets_killed(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """The two ws Daphnes killed in turn, under writes, each started again."""
    chance = random.Random(seed)  # noqa: S311  a drill is repeatable
    async with Scene(stage, "ws Daphne killed", seed=seed, watching=24) as scene:
        for number in range(scale.kills):
            await asyncio.sleep(chance.uniform(0.3, 1.0))
            await stage.restart(SOCKETS[number % len(SOCKETS)])
        scene.calm()
        await scene.written(20)
        evidence = await scene.judge()
        away = [
            max(0.0, seconds - scene.stalls.within(at, at + seconds))
            for watcher in scene.watchers
            for at, seconds in watcher.seen.away
        ]
        if percentile(away, 0.95) >= WHOLE_SECONDS:
            evidence.broken.append(f"p95 of a client until it is whole again: {percentile(away, 0.95):.2f} s.")
        return evidence


async def relay_killed(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """The relay, which numbers the feed, killed at random."""
    chance = random.Random(seed)  # noqa: S311  a drill is repeatable
    async with Scene(stage, "relay killed", seed=seed) as scene:
        for _ in range(scale.relay_kills):
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            stage.signal("relay", signal.SIGKILL)
            await stage.gone("relay")
            await asyncio.sleep(chance.uniform(0, 0.3))
            stage.launch("relay")
        scene.calm()
        await scene.written(20)
        return await scene.judge(late=LATE_SECONDS, sockets_stay=True)


async def killed_after_commit(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Api processes killed between COMMIT and hint: nobody but the log knows of the event."""
    row = "killed between COMMIT and hint"
    async with Scene(stage, row, seed=seed, writing=1, shipments=_AT_ONCE) as scene:
        markers = await _strike(scene, scale.failpoints, failpoints.AFTER_COMMIT, seed)
        evidence = await scene.judge(late=LATE_SECONDS, sockets_stay=True)
        await _count(scene, evidence, markers, each=1)
        return evidence


async def killed_before_commit(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Api processes killed before COMMIT: neither state nor event."""
    async with Scene(stage, "killed before COMMIT", seed=seed, writing=1, shipments=_AT_ONCE) as scene:
        markers = await _strike(scene, scale.failpoints, failpoints.BEFORE_COMMIT, seed)
        evidence = await scene.judge(sockets_stay=True)
        await _count(scene, evidence, markers, each=0)
        return evidence


async def _strike(scene: Scene, times: int, failpoint: str, seed: int) -> list[str]:
    """This will have api processes die at a failpoint, one write each, and return the writes' markers."""
    markers: list[str] = []
    while len(markers) < times:
        batch = range(min(_AT_ONCE, times - len(markers)))
        markers += await asyncio.gather(
            *(_die(scene, number, failpoint, f"{seed}/{len(markers)}") for number in batch)
        )
    scene.calm()
    return markers


async def _die(scene: Scene, number: int, failpoint: str, seed: str) -> str:
    stage, name = scene.stage, f"spare-{number}"
    path = stage.spare(name)
    stage.launch(name, failpoint=failpoint)
    await stage.ready(name)
    writer = Writer(
        scene.name_writer(),
        path,
        stage.keys[number],
        [scene.references[number]],
        scene.ledger,
        seed=seed,
        resolves=0,
    )
    operation = await writer.write()
    await writer.close()
    await stage.gone(name)
    if operation.outcome is not Outcome.UNKNOWN:
        raise RuntimeError(f"The failpoint did not strike: {operation}\n{stage.tails()}")
    return operation.marker


async def _count(scene: Scene, evidence: Evidence, markers: list[str], *, each: int) -> None:
    log = await asyncio.to_thread(checker.read, scene.stage.database.url, scene.references)
    found = [marker for events in log.events.values() for event in events for marker in event.markers]
    right = sum(found.count(marker) == each for marker in markers)
    evidence.figures["as promised"] = f"{right} of {len(markers)}"
    if right != len(markers):
        evidence.broken.append(f"{right} of {len(markers)} writes are {each} times in the log.")
