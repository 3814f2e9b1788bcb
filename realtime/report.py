"""The operators' report on sockets: the part of each process, and the sum over all."""

from collections import Counter
from typing import Any, Final

from monitoring.reports import json_reports
from realtime import metrics
from realtime.hub import room_hub
from realtime.protocol.room_names import FEED, RoomName

# The runbook's limit for one installation; beyond it, scale out.
_WARNING_CONNECTIONS: Final = 5000


def update_gauges() -> None:
    """Update the gauges of this process; called once a second."""
    metrics.flush_sent_counts()
    metrics.rooms.set(sum(len(each.rooms) for each in room_hub.all_hubs()))


def process_part() -> dict[str, Any]:
    """Return this process's part: its open sockets, and its rooms by kind."""
    rooms = Counter(_kind(room.name) for each in room_hub.all_hubs() for room in list(each.rooms.values()))
    return {"connections": metrics.open_sockets(), "rooms": dict(rooms)}


def report() -> dict[str, Any]:
    """Return the body of `/api/metrics/websocket`: latencies in milliseconds, rates of the last minute.

    `rooms` counts those with members by kind, summed over processes: a name would be one of some organisation.
    """
    now, recent = json_reports.current_samples(), json_reports.recent_samples()
    parts = [(each, each["websocket"]) for each in json_reports.process_statuses() if "websocket" in each]
    rooms = Counter[str]()
    for _, part in parts:
        rooms.update(part["rooms"])
    latency = "websocket_delivery_latency_seconds"
    sent = recent.total("websocket_messages_total", direction="out")
    return {
        "activeConnections": int(now.total("websocket_connections_active")),
        "totalConnections": int(now.total("websocket_connections_total")),
        "averageLatency": round(recent.mean(latency) * 1000, 2),
        "p95Latency": round(recent.quantile(latency, 0.95) * 1000, 2),
        "messagesPerSecond": round(sent / recent.seconds, 2) if recent.seconds else 0.0,
        "rooms": dict(rooms.most_common()),
        "processes": [
            {name: each[name] for name in ("process", "host", "pid")} | {"connections": part["connections"]}
            for each, part in parts
            if part["connections"] or each["process"].startswith("ws")
        ],
    }


def _kind(room: RoomName) -> str:
    """Return the kind of a room as clients know it: `shipment`, `shipments:all`, `driver`, `export`, `import`."""
    return FEED if room.type_name == "feed" else room.type_name


def health() -> dict[str, Any]:
    """Return the sockets' part of the detailed health check, from in-memory data."""
    connections = sum(
        each["websocket"]["connections"] for each in json_reports.process_statuses() if "websocket" in each
    )
    return {"status": "warning" if connections > _WARNING_CONNECTIONS else "ok", "connectedClients": connections}
