"""Row: every Daphne told to end in turn, under load through nginx, and nobody sees an error of the service."""

import asyncio
import signal
from collections import Counter
from typing import Final

from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.requests import Caller, NoAnswer, NotSent
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.stage import APIS, SOCKETS, Stage
from freight.drills.delivery.watchers import Watcher
from freight.drills.delivery.writers import Outcome

_DRAINING: Final = 4503
_READERS: Final = 4
# Somebody always has a request under way that takes this long.
_WAIT_SECONDS: Final = 2


async def rolling(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """SIGTERM to each Daphne, a new one in its place, then the next: sockets get 4503, requests their answers."""
    async with Scene(stage, "rolling restart", seed=seed, shipments=20, watching=4) as scene:
        await scene.crowd(scale.restart_sockets)
        over, told = asyncio.Event(), Counter[str]()
        readers = [asyncio.create_task(_read(scene, number, over, told)) for number in range(_READERS)]
        try:
            for name in (*SOCKETS, *APIS):
                await _replace(stage, name)
                await scene.let_back()
        finally:
            over.set()
            await asyncio.gather(*readers)
        scene.calm()
        await scene.written(20)
        evidence = await scene.judge()
        _judge_sockets(scene, evidence)
        _judge_requests(scene, evidence, told)
        return evidence


async def _replace(stage: Stage, name: str) -> None:
    stage.signal(name, signal.SIGTERM)
    await stage.gone(name)
    stage.launch(name)
    await stage.ready(name)


async def _read(scene: Scene, number: int, over: asyncio.Event, told: Counter[str]) -> None:
    """This will ask for a shipment and then wait for news that never come, again and again."""
    caller = Caller(scene.stage.port, scene.stage.keys[number])
    booked = await caller.call("POST", "/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"})
    quiet = f"/api/shipments/{booked.json()['reference']}/events?after=1&wait={_WAIT_SECONDS}"
    while not over.is_set():
        for asked in (f"/api/shipments/{scene.references[number]}", quiet):
            try:
                told[str((await caller.call("GET", asked)).status)] += 1
            except (NotSent, NoAnswer) as error:
                told[repr(error)] += 1
    await caller.close()


def _judge_sockets(scene: Scene, evidence: Evidence) -> None:
    closes, refused = Counter[int](), Counter[int]()
    for watcher in scene.watchers:
        closes += watcher.seen.closes
        refused += watcher.seen.refused
    evidence.figures["sockets closed with"] = dict(closes)
    evidence.figures["handshakes refused"] = dict(refused)
    if set(closes) != {_DRAINING} or not all(map(_was_told, scene.watchers)):
        evidence.broken.append(f"Not every socket was told to come again: {dict(closes)}.")
    if any(status >= 500 for status in refused):
        evidence.broken.append(f"Handshakes were answered with errors: {dict(refused)}.")


def _was_told(watcher: Watcher) -> bool:
    """This will tell whether each end of a socket was announced by a frame."""
    return watcher.seen.drains >= watcher.seen.closes.total() > 0


def _judge_requests(scene: Scene, evidence: Evidence, told: Counter[str]) -> None:
    evidence.figures["reads"] = dict(told)
    if set(told) != {"200"}:
        evidence.broken.append(f"Reads that were lost or refused: {dict(told)}.")
    lost = [each for each in scene.ledger.operations if each.outcome is not Outcome.OK]
    if lost:
        evidence.broken.append(f"Writes that were lost or refused: {lost[:5]}.")
