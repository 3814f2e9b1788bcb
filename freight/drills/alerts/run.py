"""Playing the faults: caused, seen to fire, mended, seen to go away."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from freight.drills.alerts import load as loads
from freight.drills.alerts.faults import FAULTS, Fault
from freight.drills.alerts.load import Load
from freight.drills.alerts.prometheus import Prometheus, alerts
from freight.drills.delivery.stage import Stage, raised

_QUIET_SECONDS: Final = 45.0
_LOOK_SECONDS: Final = 0.3


@dataclass(slots=True)
class Evidence:
    """What became of one fault: for each alert the seconds until it fired and, once mended, until it was gone."""

    fault: str
    fired: dict[str, float] = field(default_factory=dict)
    cleared: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every alert fired and went away."""
        return not self.broken

    def told(self) -> dict[str, Any]:
        """This will return the evidence as one JSON object."""
        return {"drill": "alerts", "holds": self.holds} | asdict(self)


def run(*, quick: bool, tell: Callable[[str], object]) -> list[Evidence]:
    """This will play every fault, those of the quick form at once, on a private stage."""
    with raised() as stage:
        found = play(stage, quick=quick)
    caused = {name for evidence in found for name in evidence.fired}
    lacking = {name: fault.needs() for fault in FAULTS for name in fault.alerts}
    for name in sorted(alerts() - caused):
        tell(f"not caused: {name}: {lacking.get(name) or 'not in the quick form'}")
    return found


def play(stage: Stage, *, quick: bool) -> list[Evidence]:
    """This will play the faults on a stage and return their evidence."""
    return asyncio.run(_play(stage, quick=quick))


async def _play(stage: Stage, *, quick: bool) -> list[Evidence]:
    waves = [[fault] for fault in FAULTS if not fault.needs()]
    if quick:
        waves = [[fault for fault in FAULTS if fault.wave == number] for number in (1, 2)]
    found: list[Evidence] = []
    with tempfile.TemporaryDirectory(prefix="freight-alerts-") as folder:
        async with _watched(stage, Path(folder)) as (prometheus, load):
            for wave in waves:
                found += await _wave(stage, load, prometheus, wave)
    return found


@asynccontextmanager
async def _watched(stage: Stage, folder: Path) -> AsyncIterator[tuple[Prometheus, Load]]:
    prometheus = Prometheus(folder, f"127.0.0.1:{stage.port}")
    async with loads.running(stage) as load:
        await asyncio.to_thread(prometheus.__enter__)
        try:
            yield prometheus, load
        finally:
            prometheus.__exit__(None, None, None)


async def _wave(stage: Stage, load: Load, prometheus: Prometheus, wave: list[Fault]) -> list[Evidence]:
    """This will cause the faults of a wave together, and mend them together."""
    found = {fault.name: Evidence(fault.name) for fault in wave}
    wanted = {alert for fault in wave for alert in fault.alerts}
    quiet = await _wait(prometheus, wanted, firing=False, seconds=_QUIET_SECONDS)
    async with contextlib.AsyncExitStack() as stack:
        for fault in wave:
            await stack.enter_async_context(fault.cause(stage, load))
        longest = max(fault.fires_seconds for fault in wave)
        fired = await _wait(prometheus, wanted, firing=True, seconds=longest)
    longest = max(fault.clears_seconds for fault in wave)
    cleared = await _wait(prometheus, wanted, firing=False, seconds=longest)
    for fault in wave:
        evidence = found[fault.name]
        for alert in sorted(fault.alerts):
            for told, into, words in (
                (quiet, {}, "fired before its fault"),
                (fired, evidence.fired, "did not fire"),
                (cleared, evidence.cleared, "did not go away"),
            ):
                if alert in told:
                    into[alert] = told[alert]
                else:
                    evidence.broken.append(f"{alert} {words}.")
    return list(found.values())


async def _wait(
    prometheus: Prometheus, wanted: Collection[str], *, firing: bool, seconds: float
) -> dict[str, float]:
    """This will wait until each alert fires, or is gone; returns the seconds of each that did."""
    began = time.monotonic()
    found: dict[str, float] = {}
    while len(found) < len(wanted) and (took := time.monotonic() - began) < seconds:
        now = await asyncio.to_thread(prometheus.firing)
        for alert in wanted:
            if (alert in now) is firing:
                found.setdefault(alert, round(took, 1))
            elif not firing:
                found.pop(alert, None)  # it came back
        await asyncio.sleep(_LOOK_SECONDS)
    return found
