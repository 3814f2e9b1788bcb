"""`/api/metrics/performance`: time, memory, requests of all processes, slow queries, what is out of bounds."""

import os
import platform
import sys
import time
from datetime import timedelta
from typing import Any, Final

import psutil
from django.conf import settings

from monitoring import health, reports, shared, slow
from monitoring.exposition import memory_limit
from monitoring.picture import Picture

_MEGABYTE: Final = 1024 * 1024
_LATENCY: Final = "http_request_duration_seconds"
_SHOWN: Final = 20
# The runbook's baselines: (what is said, metric of the report, more than).
_BOUNDS: Final = (
    ("High latency: the 95th percentile is above 200 ms", "p95", 200.0),
    ("Many errors: more than 1 % of the answers are 5xx", "errorRate", 0.01),
)
_FULL_PERCENT: Final = 90.0


def note() -> dict[str, Any]:
    """This will return this process's part."""
    memory = psutil.Process().memory_info()
    return {"rss": memory.rss, "vms": memory.vms, "startedAt": health.started_at()}


def report() -> dict[str, Any]:
    """This will return the report: percentiles in milliseconds and rates are of the last minute."""
    notes = [each["performance"] | each for each in reports.processes() if "performance" in each]
    memory = _memory([each["rss"] for each in notes], [each["vms"] for each in notes])
    requests = _requests(reports.now(), reports.recent())
    oldest = min((each["startedAt"] for each in notes), default=health.started_at())
    up = time.time() - oldest
    return {
        "uptime": {"seconds": round(up, 1), "formatted": str(timedelta(seconds=round(up)))},
        "memory": memory,
        "process": {
            "pid": os.getpid(),
            "name": shared.name(),
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
            }
            for each in notes
        ],
        "requests": requests,
        "slowQueries": [] if reports.partial() else [each.told() for each in slow.entries()[:_SHOWN]],
        "alerts": _alerts(memory, requests),
    }


def _memory(resident: list[int], virtual: list[int]) -> dict[str, float]:
    """This will add memory up; how full it is, is said of the fullest process."""
    used, limit = sum(resident), memory_limit()
    return {
        "rss_mb": _megabytes(used),
        "heap_used_mb": _megabytes(used),
        "heap_total_mb": _megabytes(limit * max(1, len(resident))),
        "heap_used_percent": round(100 * max(resident, default=0) / limit, 1),
        "external_mb": _megabytes(max(0, sum(virtual) - used)),
    }


def _requests(now: Picture, recent: Picture) -> dict[str, float]:
    by_status = recent.by("status", "http_requests_total")
    answered = sum(by_status.values())
    failed = sum(number for status, number in by_status.items() if status.startswith("5"))
    quantiles = {
        name: round(recent.quantile(_LATENCY, rank) * 1000, 1)
        for name, rank in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return quantiles | {
        "total": int(now.total("http_requests_total")),
        "perSecond": round(answered / recent.seconds, 2) if recent.seconds else 0.0,
        "averageMs": round(recent.mean(_LATENCY) * 1000, 1),
        "errorRate": round(failed / answered, 4) if answered else 0.0,
    }


def _alerts(memory: dict[str, float], requests: dict[str, float]) -> list[dict[str, str]]:
    said = [text for text, name, most in _BOUNDS if requests[name] > most]
    if memory["heap_used_percent"] > _FULL_PERCENT:
        said.append("A process uses more than 90 % of its memory")
    said += [f"{part}: {finding}" for part, finding in health.wrong().items() if finding]
    return [{"message": text} for text in said]


def _megabytes(number: float) -> float:
    return round(number / _MEGABYTE, 1)
