"""The bodies of detailed and brief health, from the results of the checks and from providers of details."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import psutil

from monitoring import clock, metrics
from monitoring.health import process_state
from monitoring.health.monitor import HealthMonitor, current_monitor
from monitoring.heartbeat import HUNG_SECONDS
from monitoring.memory import memory_limit
from monitoring.prometheus import multiprocess

DetailProvider = Callable[[], Mapping[str, Any]]
_MEMORY_WARNING_RATIO: Final = 0.9


def check_statuses(
    monitor: HealthMonitor, providers: Mapping[str, DetailProvider], *, draining: bool
) -> dict[str, dict[str, Any]]:
    """Return the status of each dependency and detail: `status` is ok, warning or critical, `reason` the error."""
    statuses = _dependency_statuses(monitor)
    for name, provider in providers.items():
        # A check and a detail of one name share an entry; the check's fields win.
        statuses[name] = dict(provider()) | statuses.get(name, {})
    if draining:
        statuses["process"] = {**statuses.get("process", {}), "status": "critical", "reason": "draining"}
    return statuses


def _dependency_statuses(monitor: HealthMonitor) -> dict[str, dict[str, Any]]:
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
    return statuses


def own_health() -> dict[str, Any]:
    """Return what this process knows of itself and its dependencies, for those that ask another by its name."""
    monitor = current_monitor()
    checks = _dependency_statuses(monitor) if monitor is not None and monitor.results.checked_at else {}
    checks["process"] = process_detail()
    return {"status": overall_status(checks), "uptime": round(process_state.uptime(), 3), "checks": checks}


def body_of_process(process_statuses: list[dict[str, Any]], name: str, host: str = "") -> dict[str, Any] | None:
    """Return what a process last wrote down of itself, None where none of this name is known.

    Without a host the first one is meant: this host's, where it has one. A process whose main loop does not turn is
    unhealthy, whatever it wrote.
    """
    for status in process_statuses:
        if status["process"] == name and host in {"", status["host"]} and "health" in status:
            hung = {"status": "unhealthy"} if status["heartbeatAge"] > HUNG_SECONDS else {}
            own: dict[str, Any] = {key: status[key] for key in ("process", "host", "pid", "heartbeatAge")}
            health: dict[str, Any] = status["health"]
            return own | health | hung | {"timestamp": _format_time(status["at"])}
    return None


def _format_time(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        "timestamp": _format_time(time.time()),
        "uptime": round(uptime, 3),
        "checks": statuses,
        "latencyMs": round(took_ms, 2),
    }


def brief_body(statuses: Mapping[str, Mapping[str, Any]], *, uptime: float) -> dict[str, Any]:
    """Return the body of `/api/metrics/health`."""
    return {
        "status": overall_status(statuses),
        "timestamp": _format_time(time.time()),
        "uptime": round(uptime, 3),
        "checks": {name: each["status"] for name, each in statuses.items()},
        "issues": [f"{name}: {each['reason']}" for name, each in statuses.items() if each.get("reason")],
    }


def memory_detail(process_statuses: Callable[[], list[dict[str, Any]]]) -> DetailProvider:
    """Make the detail about memory: the usage of the process that uses most, 0 to 1 of its limit."""

    def provider() -> dict[str, Any]:
        limit = memory_limit()
        sizes = [
            (each["performance"]["rss"], each["process"]) for each in process_statuses() if "performance" in each
        ]
        rss, name = max(sizes, default=(0, ""))
        usage = round(rss / limit, 3)
        fields = {"status": "ok", "usage": usage, "rssBytes": rss, "limitBytes": limit, "process": name}
        return fields | (
            {"status": "warning", "reason": f"{name} uses {usage:.0%} of its memory"}
            if usage > _MEMORY_WARNING_RATIO
            else {}
        )

    return provider


def clock_detail() -> dict[str, Any]:
    """Return the detail about the clock: by how many seconds this host's is ahead of the database's."""
    return {"status": "ok", "skewSeconds": round(clock.skew(), 3)}


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
