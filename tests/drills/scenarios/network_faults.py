"""Scenario: a slow network between clients and the service, single bytes, resets in the middle of frames."""

import asyncio
import random
from typing import Final

from tests.drills.checks.evidence import Evidence
from tests.drills.harness.fault_proxy import FaultProxy, Faults
from tests.drills.harness.product_stage import ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

_LATENCY_SECONDS: Final = 0.2
# From the first frames after a handshake to some dozens of events.
_CUT_AFTER_BYTES: Final = (600, 20_000)
_CUT_INTERVAL_SECONDS: Final = 0.2


async def slow_and_cut(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Add 200 ms of latency, send byte by byte, and reset connections of sockets and writers."""
    rng = random.Random(seed)
    async with (
        FaultProxy(stage.port) as proxy,
        Traffic(stage, "network", seed=seed, ws_port=proxy.port, api_port=proxy.port) as traffic,
    ):
        for faults in (Faults(delay=_LATENCY_SECONDS), Faults(slices=True), Faults(delay=0.05, slices=True)):
            proxy.faults = faults
            await asyncio.sleep(scale.network_seconds)
        for _ in range(int(scale.network_seconds / _CUT_INTERVAL_SECONDS)):
            proxy.faults = Faults(cut_after=rng.randrange(*_CUT_AFTER_BYTES))
            await asyncio.sleep(_CUT_INTERVAL_SECONDS)
        proxy.clear_faults()
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        evidence = await traffic.evaluate()
        evidence.figures["connections cut"] = proxy.cuts
        if not proxy.cuts:
            evidence.broken.append("No connection was cut: the scenario proves nothing.")
        return evidence
