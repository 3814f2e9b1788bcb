"""Row: anything in any order. A hypothesis state machine acts on the stage, and a model says what comes of it."""

import asyncio

from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.interleaving import Differs
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.stage import Stage


async def interleaved(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Create, transition, join, leave, disconnect, kill, flush, revoke: the world equals the model."""
    from freight.drills.delivery import machine  # hypothesis is a tool of development

    async with Scene(stage, "random interleaving", seed=seed, writing=0, watching=0, shipments=1) as scene:
        loop, found = asyncio.get_running_loop(), list[str]()
        steps: dict[str, int] = {}
        try:
            steps = await asyncio.to_thread(
                machine.play, stage, loop, steps=scale.machine_steps, runs=scale.machine_runs, number=seed
            )
        except Differs as error:
            found.append(str(error))
        scene.calm()
        evidence = await scene.judge()
        evidence.broken += found
        evidence.deliveries = steps.pop(machine.DELIVERIES, 0)
        evidence.figures |= {
            "deliveries": evidence.deliveries,
            "steps": sum(steps.values()),
            "by kind": dict(steps),
        }
        return evidence
