"""What detailed health says of each part, made from what the watch has seen and the processes have told."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psutil

from monitoring import metrics, shared
from monitoring.exposition import memory_limit

if TYPE_CHECKING:
    from monitoring.watch import Watch

Fact = Callable[[], Mapping[str, Any]]
_FULL: Final = 0.9


def checks(watch: "Watch", facts: Mapping[str, Fact], *, draining: bool) -> dict[str, dict[str, Any]]:
    """This will return each check: `status` is ok, warning or critical; `reason` says what is wrong."""
    found: dict[str, dict[str, Any]] = {}
    seen = watch.findings
    for part in watch.parts:
        finding = seen.wrong.get(part.name, "not checked yet") if watch.fresh else "the checks do not run"
        shown: dict[str, Any] = {"status": "ok", "latencyMs": seen.latency_ms.get(part.name)}
        if finding:
            shown["status"] = "critical" if part.vital else "warning"
            shown["reason"] = finding
        found[part.shown or part.name] = shown
    for name, fact in facts.items():
        # What a fact says stands beside what the check of that name has found.
        found[name] = dict(fact()) | found.get(name, {})
    if draining:
        found["process"] = {**found.get("process", {}), "status": "critical", "reason": "draining"}
    return found


def overall(found: Mapping[str, Mapping[str, Any]]) -> str:
    """This will say how the whole is."""
    states = {each["status"] for each in found.values()}
    if "critical" in states:
        return "unhealthy"
    return "degraded" if "warning" in states else "healthy"


def body(found: Mapping[str, Mapping[str, Any]], *, uptime: float, took_ms: float) -> dict[str, Any]:
    """This will return `/api/health/detailed`."""
    return {
        "status": overall(found),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "uptime": round(uptime, 3),
        "checks": found,
        "latencyMs": round(took_ms, 2),
    }


def brief(found: Mapping[str, Mapping[str, Any]], *, uptime: float) -> dict[str, Any]:
    """This will return `/api/metrics/health`."""
    return {
        "status": overall(found),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "uptime": round(uptime, 3),
        "checks": {name: each["status"] for name, each in found.items()},
        "issues": [f"{name}: {each['reason']}" for name, each in found.items() if each.get("reason")],
    }


def memory(processes: Callable[[], list[dict[str, Any]]]) -> Fact:
    """This will make the fact about memory: how full the fullest process is, 0 to 1."""

    def fact() -> dict[str, Any]:
        limit = memory_limit()
        most = max((each["performance"]["rss"] for each in processes() if "performance" in each), default=0)
        usage = round(most / limit, 3)
        shown = {"status": "ok", "usage": usage, "rssBytes": most, "limitBytes": limit}
        return shown | ({"status": "warning", "reason": f"{usage:.0%} are in use"} if usage > _FULL else {})

    return fact


def process() -> dict[str, Any]:
    """This will return what the answering process is and how it fares."""
    own = psutil.Process()
    name = shared.name()
    pool = {
        labels["state"]: int(sample.value)
        for sample in next(iter(metrics.pool_connections.collect())).samples
        if (labels := sample.labels)["process"] == name
    }
    lag = next(
        (
            sample.value
            for sample in next(iter(metrics.loop_lag.collect())).samples
            if sample.labels["process"] == name
        ),
        0.0,
    )
    return {
        "status": "ok",
        "name": name,
        "pid": own.pid,
        "rssBytes": own.memory_info().rss,
        "openSockets": own.num_fds(),
        "eventLoopLagMs": round(lag * 1000, 1),
        "pool": pool,
        "at": round(time.time(), 3),
    }
