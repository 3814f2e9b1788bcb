"""Injects the faults, waits until their alerts fire, undoes them, and waits until the alerts clear."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.drills.alerts import background_traffic as loads
from tests.drills.alerts.background_traffic import BackgroundTraffic
from tests.drills.alerts.faults import FAULTS, Fault
from tests.drills.alerts.prometheus import PrometheusServer, alert_names, shortened_rules
from tests.drills.harness.presets import fault_stage
from tests.drills.harness.product_stage import ProductStage

_QUIET_SECONDS: Final = 45.0
_POLL_SECONDS: Final = 0.3


@dataclass(slots=True)
class Evidence:
    """The result of one fault: for each alert the seconds until it fired and, after the fault, until it cleared."""

    fault: str
    fired: dict[str, float] = field(default_factory=dict)
    cleared: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every alert fired and cleared."""
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "alerts", "holds": self.holds} | asdict(self)


def run(*, quick: bool, log: Callable[[str], object], alerts: Collection[str] = ()) -> list[Evidence]:
    """Inject the faults on a private stage, in the quick form those of a wave together.

    `alerts`: only the faults that cause one of these, each alone; empty: all.
    """
    with fault_stage() as stage:
        results = run_faults(stage, quick=quick, alerts=alerts)
    if alerts:
        return results
    fired_alerts = {name for evidence in results for name in evidence.fired}
    missing_requirements = {name: fault.missing_requirement() for fault in FAULTS for name in fault.alerts}
    for name in sorted(alert_names() - fired_alerts):
        log(f"not caused: {name}: {missing_requirements.get(name) or 'not in the quick form'}")
    return results


def run_faults(stage: ProductStage, *, quick: bool, alerts: Collection[str] = ()) -> list[Evidence]:
    """Inject the faults on a stage and return their evidence."""
    return asyncio.run(_run_groups(stage, _fault_groups(quick=quick, alerts=alerts)))


def _fault_groups(*, quick: bool, alerts: Collection[str]) -> list[list[Fault]]:
    """Return the faults to inject, those together that are injected together."""
    if quick and not alerts:
        return [[fault for fault in FAULTS if fault.wave == number] for number in (1, 2, 3)]
    chosen = [fault for fault in FAULTS if not alerts or fault.alerts & set(alerts)]
    return [[fault] for fault in chosen if not fault.missing_requirement()]


async def _run_groups(stage: ProductStage, fault_groups: list[list[Fault]]) -> list[Evidence]:
    results: list[Evidence] = []
    with tempfile.TemporaryDirectory(prefix="freight-alerts-") as folder:
        async with _monitored(stage, Path(folder)) as (prometheus, load):
            for faults in fault_groups:
                results += await _run_group(stage, load, prometheus, faults)
    return results


@asynccontextmanager
async def _monitored(
    stage: ProductStage, folder: Path
) -> AsyncIterator[tuple[PrometheusServer, BackgroundTraffic]]:
    prometheus = PrometheusServer(folder, f"127.0.0.1:{stage.port}", rules=shortened_rules())
    async with loads.running_traffic(stage) as traffic:
        await asyncio.to_thread(prometheus.__enter__)
        try:
            yield prometheus, traffic
        finally:
            prometheus.__exit__(None, None, None)


async def _run_group(
    stage: ProductStage, traffic: BackgroundTraffic, prometheus: PrometheusServer, faults: list[Fault]
) -> list[Evidence]:
    """Inject the faults of a wave together, and undo them together."""
    evidence_by_fault = {fault.name: Evidence(fault.name) for fault in faults}
    expected_alerts = {alert for fault in faults for alert in fault.alerts}
    quiet_before = await _wait_for_alerts(prometheus, expected_alerts, firing=False, seconds=_QUIET_SECONDS)
    async with contextlib.AsyncExitStack() as stack:
        for fault in faults:
            await stack.enter_async_context(fault.inject(stage, traffic))
        longest = max(fault.fires_seconds for fault in faults)
        fired = await _wait_for_alerts(prometheus, expected_alerts, firing=True, seconds=longest)
    longest = max(fault.clears_seconds for fault in faults)
    cleared = await _wait_for_alerts(prometheus, expected_alerts, firing=False, seconds=longest)
    for fault in faults:
        evidence = evidence_by_fault[fault.name]
        for alert in sorted(fault.alerts):
            for seconds_by_alert, target, words in (
                (quiet_before, {}, "fired before its fault"),
                (fired, evidence.fired, "did not fire"),
                (cleared, evidence.cleared, "did not go away"),
            ):
                if alert in seconds_by_alert:
                    target[alert] = seconds_by_alert[alert]
                else:
                    evidence.broken.append(f"{alert} {words}.")
    return list(evidence_by_fault.values())


async def _wait_for_alerts(
    prometheus: PrometheusServer, alerts: Collection[str], *, firing: bool, seconds: float
) -> dict[str, float]:
    """Wait until each alert fires, or is clear; return the seconds of each that did."""
    began = time.monotonic()
    seconds_by_alert: dict[str, float] = {}
    while len(seconds_by_alert) < len(alerts) and (took := time.monotonic() - began) < seconds:
        firing_now = await asyncio.to_thread(prometheus.firing)
        for alert in alerts:
            if (alert in firing_now) is firing:
                seconds_by_alert.setdefault(alert, round(took, 1))
            elif not firing:
                seconds_by_alert.pop(alert, None)  # it came back
        await asyncio.sleep(_POLL_SECONDS)
    return seconds_by_alert
