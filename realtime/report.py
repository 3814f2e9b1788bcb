"""The operators' report on sockets: the part of each process, and the sum over all."""

from collections import Counter
from typing import Any, Final

from monitoring.reports import json_reports
from realtime import metrics
from realtime.hub import room_hub

_LARGEST_ROOMS: Final = 50
# The runbook's limit for one installation; beyond it, scale out.
_WARNING_CONNECTIONS: Final = 5000


def update_gauges() -> None:
    """Update the gauges of this process; called once a second."""
    metrics.flush_sent_counts()
    metrics.rooms.set(sum(len(each.rooms) for each in room_hub.all_hubs()))


def process_part() -> dict[str, Any]:
    """Return this process's part: its open sockets and its largest rooms."""
    sizes = Counter[str]()
    for each in room_hub.all_hubs():
        for room in list(each.rooms.values()):
            sizes[room.name.name] += len(room.members)
    return {"connections": metrics.open_sockets(), "rooms": dict(sizes.most_common(_LARGEST_ROOMS))}


def report() -> dict[str, Any]:
    """Return the body of `/api/metrics/websocket`: latencies in milliseconds, rates of the last minute."""
    now, recent = json_reports.current_samples(), json_reports.recent_samples()
    parts = [(each, each["websocket"]) for each in json_reports.process_statuses() if "websocket" in each]
    sizes = Counter[str]()
    for _, part in parts:
        sizes.update(part["rooms"])
    latency = "websocket_delivery_latency_seconds"
    sent = recent.total("websocket_messages_total", direction="out")
    return {
        "activeConnections": int(now.total("websocket_connections_active")),
        "totalConnections": int(now.total("websocket_connections_total")),
        "averageLatency": round(recent.mean(latency) * 1000, 2),
        "p95Latency": round(recent.quantile(latency, 0.95) * 1000, 2),
        "messagesPerSecond": round(sent / recent.seconds, 2) if recent.seconds else 0.0,
        "rooms": dict(sizes.most_common(_LARGEST_ROOMS)),
        "processes": [
            {name: each[name] for name in ("process", "host", "pid")} | {"connections": part["connections"]}
            for each, part in parts
            if part["connections"] or each["process"].startswith("ws")
        ],
    }


def health() -> dict[str, Any]:
    """Return the sockets' part of the detailed health check, from in-memory data."""
    connections = sum(
        each["websocket"]["connections"] for each in json_reports.process_statuses() if "websocket" in each
    )
    return {"status": "warning" if connections > _WARNING_CONNECTIONS else "ok", "connectedClients": connections}
