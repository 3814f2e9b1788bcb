"""The bodies of detailed and brief health, from the results of the checks and from providers of details."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import psutil

from monitoring import metrics
from monitoring.health.monitor import HealthMonitor
from monitoring.memory import memory_limit
from monitoring.prometheus import multiprocess

DetailProvider = Callable[[], Mapping[str, Any]]
_MEMORY_WARNING_RATIO: Final = 0.9


def check_statuses(
    monitor: HealthMonitor, providers: Mapping[str, DetailProvider], *, draining: bool
) -> dict[str, dict[str, Any]]:
    """Return the status of each dependency and detail: `status` is ok, warning or critical, `reason` the error."""
    statuses: dict[str, dict[str, Any]] = {}
    results = monitor.results
    for dependency in monitor.dependencies:
        name = dependency.name
        error = results.errors.get(name, "not checked yet") if monitor.is_fresh else "the checks do not run"
        status: dict[str, Any] = {"status": "ok", "latencyMs": results.latency_ms.get(name)}
        if error:
            status["status"] = "critical" if dependency.required else "warning"
            status["reason"] = error
        statuses[dependency.detail_name or name] = status
    for name, provider in providers.items():
        # A check and a detail of one name share an entry; the check's fields win.
        statuses[name] = dict(provider()) | statuses.get(name, {})
    if draining:
        statuses["process"] = {**statuses.get("process", {}), "status": "critical", "reason": "draining"}
    return statuses


def overall_status(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the worst status: healthy, degraded or unhealthy."""
    levels = {each["status"] for each in statuses.values()}
    if "critical" in levels:
        return "unhealthy"
    return "degraded" if "warning" in levels else "healthy"


def detailed_body(statuses: Mapping[str, Mapping[str, Any]], *, uptime: float, took_ms: float) -> dict[str, Any]:
    """Return the body of `/api/health/detailed`."""
    return {
        "status": overall_status(statuses),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "uptime": round(uptime, 3),
        "checks": statuses,
        "latencyMs": round(took_ms, 2),
    }


def brief_body(statuses: Mapping[str, Mapping[str, Any]], *, uptime: float) -> dict[str, Any]:
    """Return the body of `/api/metrics/health`."""
    return {
        "status": overall_status(statuses),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "uptime": round(uptime, 3),
        "checks": {name: each["status"] for name, each in statuses.items()},
        "issues": [f"{name}: {each['reason']}" for name, each in statuses.items() if each.get("reason")],
    }


def memory_detail(process_statuses: Callable[[], list[dict[str, Any]]]) -> DetailProvider:
    """Make the detail about memory: the usage of the process that uses most, 0 to 1 of its limit."""

    def provider() -> dict[str, Any]:
        limit = memory_limit()
        rss = max((each["performance"]["rss"] for each in process_statuses() if "performance" in each), default=0)
        usage = round(rss / limit, 3)
        fields = {"status": "ok", "usage": usage, "rssBytes": rss, "limitBytes": limit}
        return fields | (
            {"status": "warning", "reason": f"{usage:.0%} are in use"} if usage > _MEMORY_WARNING_RATIO else {}
        )

    return provider


def process_detail() -> dict[str, Any]:
    """Return the detail about the process that answers."""
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
