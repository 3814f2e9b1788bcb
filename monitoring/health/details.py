"""What detailed health says of each part, made from what the watch has seen and the processes have told."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psutil

from monitoring import metrics
from monitoring.prometheus import multiprocess
from monitoring.prometheus.collectors import memory_limit

if TYPE_CHECKING:
    from monitoring.health.monitor import HealthMonitor

DetailProvider = Callable[[], Mapping[str, Any]]
_MEMORY_WARNING_RATIO: Final = 0.9


def check_statuses(
    monitor: "HealthMonitor", providers: Mapping[str, DetailProvider], *, draining: bool
) -> dict[str, dict[str, Any]]:
    """Return each check: `status` is ok, warning or critical; `reason` says what is wrong."""
    statuses: dict[str, dict[str, Any]] = {}
    results = monitor.results
    for part in monitor.dependencies:
        error = results.errors.get(part.name, "not checked yet") if monitor.is_fresh else "the checks do not run"
        status: dict[str, Any] = {"status": "ok", "latencyMs": results.latency_ms.get(part.name)}
        if error:
            status["status"] = "critical" if part.required else "warning"
            status["reason"] = error
        statuses[part.detail_name or part.name] = status
    for name, provider in providers.items():
        # What a fact says stands beside what the check of that name has found.
        statuses[name] = dict(provider()) | statuses.get(name, {})
    if draining:
        statuses["process"] = {**statuses.get("process", {}), "status": "critical", "reason": "draining"}
    return statuses


def overall_status(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """Say how the whole is."""
    levels = {each["status"] for each in statuses.values()}
    if "critical" in levels:
        return "unhealthy"
    return "degraded" if "warning" in levels else "healthy"


def detailed_body(statuses: Mapping[str, Mapping[str, Any]], *, uptime: float, took_ms: float) -> dict[str, Any]:
    """Return `/api/health/detailed`."""
    return {
        "status": overall_status(statuses),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "uptime": round(uptime, 3),
        "checks": statuses,
        "latencyMs": round(took_ms, 2),
    }


def brief_body(statuses: Mapping[str, Mapping[str, Any]], *, uptime: float) -> dict[str, Any]:
    """Return `/api/metrics/health`."""
    return {
        "status": overall_status(statuses),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "uptime": round(uptime, 3),
        "checks": {name: each["status"] for name, each in statuses.items()},
        "issues": [f"{name}: {each['reason']}" for name, each in statuses.items() if each.get("reason")],
    }


def memory_detail(process_statuses: Callable[[], list[dict[str, Any]]]) -> DetailProvider:
    """Make the fact about memory: how full the fullest process is, 0 to 1."""

    def provider() -> dict[str, Any]:
        limit = memory_limit()
        most = max((each["performance"]["rss"] for each in process_statuses() if "performance" in each), default=0)
        usage = round(most / limit, 3)
        fields = {"status": "ok", "usage": usage, "rssBytes": most, "limitBytes": limit}
        return fields | (
            {"status": "warning", "reason": f"{usage:.0%} are in use"} if usage > _MEMORY_WARNING_RATIO else {}
        )

    return provider


def process_detail() -> dict[str, Any]:
    """Return what the answering process is and how it fares."""
    process = psutil.Process()
    name = multiprocess.process_name()
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
        "pid": process.pid,
        "rssBytes": process.memory_info().rss,
        "openSockets": process.num_fds(),
        "eventLoopLagMs": round(lag * 1000, 1),
        "pool": pool,
        "at": round(time.time(), 3),
    }
