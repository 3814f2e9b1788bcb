"""Scenario: acts in any order, chosen by a Hypothesis state machine and compared with a model."""

import asyncio

from tests.drills.checks.evidence import Evidence
from tests.drills.harness.product_stage import ProductStage
from tests.drills.scenarios.interleaving_model import ModelMismatch
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic


async def random_interleaving(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Create, transition, join, leave, disconnect, kill, flush and revoke: the product equals the model."""
    from tests.drills.scenarios import interleaving_machine  # Hypothesis is a development dependency

    async with Traffic(
        stage, "random interleaving", seed=seed, writer_count=0, subscriber_count=0, shipments=1
    ) as traffic:
        loop, mismatches = asyncio.get_running_loop(), list[str]()
        steps: dict[str, int] = {}
        try:
            steps = await asyncio.to_thread(
                interleaving_machine.run_machine,
                stage,
                loop,
                steps=scale.machine_steps,
                runs=scale.machine_runs,
                number=seed,
            )
        except ModelMismatch as error:
            mismatches.append(str(error))
        traffic.mark_faults_over()
        evidence = await traffic.evaluate()
        evidence.broken += mismatches
        evidence.deliveries = steps.pop(interleaving_machine.DELIVERIES, 0)
        evidence.figures |= {
            "deliveries": evidence.deliveries,
            "steps": sum(steps.values()),
            "by kind": dict(steps),
        }
        return evidence
