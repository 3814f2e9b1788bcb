"""`/api/metrics/performance`: uptime, memory and requests of all processes, slow queries, exceeded thresholds."""

import os
import platform
import sys
import time
from datetime import timedelta
from typing import Any, Final

import psutil
from django.conf import settings

from monitoring.health import monitor, process_state, processes
from monitoring.memory import memory_limit
from monitoring.prometheus import multiprocess
from monitoring.prometheus.samples import SampleSet
from monitoring.queries import slow_queries
from monitoring.reports import json_reports

_MEGABYTE: Final = 1024 * 1024
_LATENCY: Final = "http_request_duration_seconds"
_MAX_SLOW_QUERIES: Final = 20
# The baselines of the runbook: (message, field of the report, upper limit).
_THRESHOLDS: Final = (
    ("High latency: the 95th percentile is above 200 ms", "p95", 200.0),
    ("Many errors: more than 1 % of the answers are 5xx", "errorRate", 0.01),
)
_MEMORY_ALERT_RATIO: Final = 0.9


def process_status() -> dict[str, Any]:
    """Return the part of this process, which is registered as a status."""
    memory = psutil.Process().memory_info()
    return {"rss": memory.rss, "vms": memory.vms, "startedAt": process_state.process_started_at()}


def report() -> dict[str, Any]:
    """Return the report; percentiles in milliseconds and rates are of the last minute."""
    statuses = [each["performance"] | each for each in json_reports.process_statuses() if "performance" in each]
    memory = _memory([each["rss"] for each in statuses], [each["vms"] for each in statuses])
    requests = _requests(json_reports.current_samples(), json_reports.recent_samples())
    oldest = min((each["startedAt"] for each in statuses), default=process_state.process_started_at())
    uptime = time.time() - oldest
    return {
        "uptime": {"seconds": round(uptime, 1), "formatted": str(timedelta(seconds=round(uptime)))},
        "memory": memory,
        "process": {
            "pid": os.getpid(),
            "name": multiprocess.process_name(),
            "version": platform.python_version(),
            "platform": sys.platform,
            "arch": platform.machine(),
            "release": settings.VERSION,
        },
        "processes": [
            {
                "process": each["process"],
                "host": each["host"],
                "pid": each["pid"],
                "rss_mb": _megabytes(each["rss"]),
                "heartbeatAge": each["heartbeatAge"],
            }
            for each in statuses
        ],
        "requests": requests,
        "slowQueries": []
        if json_reports.is_partial()
        else [each.to_json() for each in slow_queries.entries()[:_MAX_SLOW_QUERIES]],
        "alerts": _alerts(statuses, requests),
    }


def _memory(resident: list[int], virtual: list[int]) -> dict[str, float]:
    """Return the memory of all processes; the percentage is that of the process that uses most."""
    used, limit = sum(resident), memory_limit()
    return {
        "rss_mb": _megabytes(used),
        "heap_used_mb": _megabytes(used),
        "heap_total_mb": _megabytes(limit * max(1, len(resident))),
        "heap_used_percent": round(100 * max(resident, default=0) / limit, 1),
        "external_mb": _megabytes(max(0, sum(virtual) - used)),
    }


def _requests(current: SampleSet, recent: SampleSet) -> dict[str, float]:
    by_status = recent.total_by("status", "http_requests_total")
    responses = sum(by_status.values())
    server_errors = sum(number for status, number in by_status.items() if status.startswith("5"))
    quantiles = {
        name: round(recent.quantile(_LATENCY, rank) * 1000, 1)
        for name, rank in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return quantiles | {
        "total": int(current.total("http_requests_total")),
        "perSecond": round(responses / recent.seconds, 2) if recent.seconds else 0.0,
        "averageMs": round(recent.mean(_LATENCY) * 1000, 1),
        "errorRate": round(server_errors / responses, 4) if responses else 0.0,
    }


def _alerts(statuses: list[dict[str, Any]], requests: dict[str, float]) -> list[dict[str, str]]:
    messages = [text for text, name, limit in _THRESHOLDS if requests[name] > limit]
    limit = memory_limit()
    messages += [
        f"Memory: {each['process']} on {each['host']} uses {_megabytes(each['rss'])} of {_megabytes(limit)} MB"
        for each in statuses
        if each["rss"] > _MEMORY_ALERT_RATIO * limit
    ]
    messages += processes.watch.problems()
    messages += [f"{name}: {error}" for name, error in monitor.dependency_errors().items() if error]
    return [{"message": text} for text in messages]


def _megabytes(number: float) -> float:
    return round(number / _MEGABYTE, 1)
