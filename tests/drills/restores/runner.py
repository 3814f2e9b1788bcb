"""Runs the restores, one after the other on one stage."""

import asyncio
from collections.abc import Callable
from typing import Final

from tests.drills.harness.presets import fault_stage
from tests.drills.harness.product_stage import ProductStage
from tests.drills.restores.backups import Backup, BaseBackup, Dump, Replica
from tests.drills.restores.scenario import Evidence, Restore

KINDS: Final[tuple[type[Backup], ...]] = (Dump, Replica, BaseBackup)


def restore(stage: ProductStage, kind: type[Backup], *, restart: bool) -> Evidence:
    """Restore a stage's database once. `restart`: Freight is stopped meanwhile, else it runs."""
    return asyncio.run(Restore(stage, kind, restart=restart).run())


def run(*, quick: bool, log: Callable[[str], object]) -> list[Evidence]:
    """Run every kind of restore under running processes and, unless `quick`, with stopped ones."""
    results = []
    with fault_stage() as stage:
        for kind in KINDS:
            for restart in (False,) if quick else (False, True):
                evidence = restore(stage, kind, restart=restart)
                results.append(evidence)
                state = "stopped" if restart else "running"
                log(f"{evidence.kind} | {state} | {evidence.seconds} s | {evidence.broken or 'holds'}")
    return results
