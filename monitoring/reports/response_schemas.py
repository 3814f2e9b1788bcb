"""The OpenAPI responses of reports and health: the schema of a report is made from its example."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiResponse

_TIMESTAMP: Final = "2026-01-31T12:00:00.000Z"
_POLICY: Final = {
    "name": "general",
    "max": 100,
    "window": 900,
    "source": "environment",
    "hits": 1204,
    "rejections": 3,
}

DESCRIPTIONS: Final = {
    "websocket": "Sockets of all processes, rooms by kind; latencies (ms) and rates are of the last minute.",
    "cache": "What the caches have answered, and how full Redis is; hit rates are 0 to 1.",
    "ratelimit": "The limits as they stand, what they let through and refused, and who was counted most.",
    "performance": "Time, memory and requests of all processes, slow queries, and what is out of bounds.",
    "exports": "The reports and documents that were made, how long they took, and what the cache of PDFs saved.",
}
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "websocket": {
        "timestamp": _TIMESTAMP,
        "activeConnections": 812,
        "totalConnections": 20311,
        "averageLatency": 3.1,
        "p95Latency": 8.7,
        "messagesPerSecond": 212.4,
        "rooms": {"shipment": 120, "shipments:all": 3},
        "processes": [{"process": "ws-1", "host": "a", "pid": 4711, "connections": 406}],
    },
    "cache": {
        "timestamp": _TIMESTAMP,
        "hits": 9120,
        "misses": 880,
        "hitRate": 0.912,
        "size": 2100,
        "maxSize": 268435456,
        "ttlAverage": 3120.5,
        "evictions": 0,
        "byName": {"shipment": {"hits": 9000, "misses": 800, "hitRate": 0.918}},
    },
    "ratelimit": {
        "timestamp": _TIMESTAMP,
        "limiters": {"general": _POLICY},
        "topKeys": [
            {
                "policy": "general",
                "key": "user:0197…",
                "hits": 97,
                "rejections": 0,
                "owner": "ann@acme.example, Acme",
            }
        ],
        "whitelist": ["internal-analytics-service"],
    },
    "performance": {
        "timestamp": _TIMESTAMP,
        "uptime": {"seconds": 86461.2, "formatted": "1 day, 0:01:01"},
        "memory": {
            "rss_mb": 402.1,
            "heap_used_mb": 402.1,
            "heap_total_mb": 1536.0,
            "heap_used_percent": 31.2,
            "external_mb": 1120.4,
        },
        "process": {
            "pid": 4711,
            "name": "api-1",
            "version": "3.11.9",
            "platform": "linux",
            "arch": "x86_64",
            "release": "0.1.0",
        },
        "processes": [{"process": "api-1", "host": "a", "pid": 4711, "rss_mb": 131.9, "heartbeatAge": 0.4}],
        "requests": {
            "p50": 8.1,
            "p95": 41.0,
            "p99": 97.2,
            "total": 120412,
            "perSecond": 31.2,
            "averageMs": 12.4,
            "errorRate": 0.0004,
        },
        "slowQueries": [
            {
                "sql": "SELECT … WHERE status = ?",
                "count": 3,
                "maxMs": 1822.0,
                "meanMs": 1401.3,
                "lastAt": _TIMESTAMP,
                "route": "/api/shipments",
            }
        ],
        "alerts": [{"message": "redis: does not answer"}],
    },
    "exports": {
        "timestamp": _TIMESTAMP,
        "total": 421,
        "byFormat": {"csv": 400, "pdf": 21},
        "byOutcome": {"done": 419, "failed": 2},
        "running": 1,
        "averageMs": 812.0,
        "p95Ms": 4200.0,
        "rows": 1204111,
        "bytes": 204111222,
        "cache": {"hits": 11, "misses": 10},
        "windowSeconds": 86400,
        "queues": {"exports": {"queued": 3, "running": 2, "oldestQueuedSeconds": 12.5}},
    },
}
# Of the busiest keys: only for staff, and only where a key belongs to somebody.
_OPTIONAL_FIELDS: Final = frozenset({"owner"})
# Objects whose names are data: kinds of rooms, formats, caches, limits.
_MAPPING_FIELDS: Final = frozenset({"rooms", "byName", "byFormat", "byOutcome", "limiters", "queues"})


def _schema_of(example: Any, *, name: str = "") -> dict[str, Any]:
    """Return the schema of the example."""
    if isinstance(example, dict) and name in _MAPPING_FIELDS:
        return {"type": "object", "additionalProperties": _schema_of(next(iter(example.values())))}
    if isinstance(example, dict):
        return {
            "type": "object",
            "properties": {key: _schema_of(value, name=key) for key, value in example.items()},
            "required": [key for key in example if key not in _OPTIONAL_FIELDS],
        }
    if isinstance(example, list):
        return {"type": "array", "items": _schema_of(example[0])}
    if name in {"maxSize", "ttlAverage"}:
        return {"type": ["number", "null"]}
    return {"type": "string"} if isinstance(example, str) else {"type": "number"}


def _report_responses(name: str) -> dict[Any, Any]:
    schema = {"title": f"{name.capitalize()}Metrics"} | _schema_of(EXAMPLES[name])
    schema["properties"]["partial"] = {
        "type": "boolean",
        "description": "True while Redis does not answer: other hosts are then missing.",
    }
    return {(200, "application/json"): schema, 404: _NOT_FOUND, 503: _UNAVAILABLE}


_NOT_FOUND: Final = OpenApiResponse(
    description="Not for strangers: METRICS_ALLOWED_NETWORKS, or `metrics:read` and staff."
)
_UNAVAILABLE: Final = OpenApiResponse(description="The key cannot be checked just now.")
REPORT_RESPONSES: Final[dict[str, dict[Any, Any]]] = {name: _report_responses(name) for name in EXAMPLES}

_CHECK_SCHEMA: Final = {
    "title": "HealthCheck",
    "type": "object",
    "properties": {
        "status": {"enum": ["ok", "warning", "critical"]},
        "latencyMs": {"type": ["number", "null"]},
        "reason": {"type": "string"},
    },
    "required": ["status"],
}
_BRIEF_HEALTH_SCHEMA: Final = {
    "title": "BriefHealth",
    "type": "object",
    "properties": {
        "status": {"enum": ["healthy", "degraded", "unhealthy"]},
        "timestamp": {"type": "string"},
        "uptime": {"type": "number"},
        "checks": {"type": "object", "additionalProperties": {"enum": ["ok", "warning", "critical"]}},
        "issues": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["status", "timestamp", "uptime", "checks", "issues"],
}
_DETAILED_HEALTH_SCHEMA: Final = {
    "title": "DetailedHealth",
    "type": "object",
    "properties": {
        "status": {"enum": ["healthy", "degraded", "unhealthy"]},
        "timestamp": {"type": "string"},
        "uptime": {"type": "number"},
        "checks": {"type": "object", "additionalProperties": _CHECK_SCHEMA},
        "latencyMs": {"type": "number"},
    },
    "required": ["status", "timestamp", "uptime", "checks", "latencyMs"],
}
DETAILED_HEALTH_RESPONSES: Final[dict[Any, Any]] = {
    (200, "application/json"): _DETAILED_HEALTH_SCHEMA,
    (503, "application/json"): _DETAILED_HEALTH_SCHEMA,
    404: _NOT_FOUND,
}
BRIEF_HEALTH_RESPONSES: Final[dict[Any, Any]] = {
    (200, "application/json"): _BRIEF_HEALTH_SCHEMA,
    404: _NOT_FOUND,
    503: _UNAVAILABLE,
}
