"""Row: the network between clients and the service slow, in crumbs, and cut in the middle of frames."""

import asyncio
import random
from typing import Final

from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.faultproxy import FaultProxy, Faults
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.stage import Stage

_LATENCY_SECONDS: Final = 0.2
# From the first frames after a handshake to some dozens of events.
_CUT_AFTER_BYTES: Final = (600, 20_000)
_CUT_AGAIN_SECONDS: Final = 0.2


async def troubled(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """200 ms of latency, every byte for itself, and resets: sockets and writers go through all of it."""
    chance = random.Random(seed)  # noqa: S311  a drill is repeatable
    async with (
        FaultProxy(stage.port) as between,
        Scene(stage, "network", seed=seed, ws_port=between.port, api_port=between.port) as scene,
    ):
        for faults in (Faults(delay=_LATENCY_SECONDS), Faults(slices=True), Faults(delay=0.05, slices=True)):
            between.faults = faults
            await asyncio.sleep(scale.network_seconds)
        for _ in range(int(scale.network_seconds / _CUT_AGAIN_SECONDS)):
            between.faults = Faults(cut_after=chance.randrange(*_CUT_AFTER_BYTES))
            await asyncio.sleep(_CUT_AGAIN_SECONDS)
        between.heal()
        scene.calm()
        await scene.written(20)
        evidence = await scene.judge()
        evidence.figures["connections cut"] = between.cuts
        if not between.cuts:
            evidence.broken.append("Nothing was cut: the row shows nothing.")
        return evidence
