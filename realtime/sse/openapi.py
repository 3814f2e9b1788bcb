"""The event streams in the OpenAPI document: they are served before Django, so no view declares them."""

from copy import deepcopy
from typing import Any, Final

from realtime.protocol.frame_schemas import Schema

Json = dict[str, Any]

# Each stream by the path that offers the same by polling, from which it takes tags, security and errors.
_STREAMS: Final = {
    "/api/shipments/{reference}/events": (
        "/api/shipments/{reference}/stream",
        "streamShipmentEvents",
        "Follow a shipment: its state, then every event as it is committed.",
    ),
    "/api/events": (
        "/api/events/stream",
        "streamEvents",
        "Follow everything that happens in the organisation, without a gap; only for those who see every shipment.",
    ),
}
_CURSOR: Final[Schema] = {"type": "string", "pattern": "^[!-9;-~]{1,64}:[0-9]{1,18}$"}
_PARAMETERS: Final = (
    {
        "in": "header",
        "name": "Last-Event-ID",
        "schema": _CURSOR,
        "description": "`epoch:seq` of the last event that the client has, as it stood in its `id:` line.",
        "example": "8c1f6a0e93b4d7725e0a:44",
    },
    {
        "in": "query",
        "name": "lastEventId",
        "schema": _CURSOR,
        "description": "The same, for a first request of `EventSource`, which can set no header.",
    },
)
_DESCRIPTION: Final = """

Server-Sent Events; the response ends with the room, the credentials or the process, not by itself. The first
`event` is `snapshot` (replaces the client's state) or `replay` (all that was missed since `Last-Event-ID`),
followed by `shipment:update` and the other frames of the socket protocol. `data` is the frame, `id` the cursor
after it: the same as for sockets (`epoch`, `since`) and polling (`epoch`, `after`). A comment comes at least every
25 seconds."""
_EXAMPLES: Final = {
    "first": {
        "summary": "A first request, and the next event.",
        "value": (
            "retry: 1830\n\n"
            "id: 8c1f6a0e93b4d7725e0a:44\nevent: snapshot\n"
            'data: {"type":"room:joined","room":"shipment:SHIP-000001","epoch":"8c1f6a0e93b4d7725e0a",'
            '"seq":44,"recovered":false,"reason":"new","snapshot":{"reference":"SHIP-000001","seq":44}}\n\n'
            "id: 8c1f6a0e93b4d7725e0a:45\nevent: shipment:update\n"
            'data: {"type":"shipment:update","room":"shipment:SHIP-000001","shipmentId":"SHIP-000001",'
            '"epoch":"8c1f6a0e93b4d7725e0a","seq":45,"event":{"seq":45,"type":"transitioned"},'
            '"shipment":{"reference":"SHIP-000001","status":"in_transit"}}\n\n'
        ),
    },
    "resumed": {
        "summary": "After `Last-Event-ID: 8c1f6a0e93b4d7725e0a:44`.",
        "value": (
            "retry: 940\n\n"
            "id: 8c1f6a0e93b4d7725e0a:45\nevent: replay\n"
            'data: {"type":"room:joined","room":"shipment:SHIP-000001","epoch":"8c1f6a0e93b4d7725e0a",'
            '"seq":45,"recovered":true,"events":[{"seq":45,"type":"transitioned"}]}\n\n'
        ),
    },
}


def describe_streams(result: Json, **_: object) -> Json:
    """Add the streams to drf-spectacular's document; a postprocessing hook (`POSTPROCESSING_HOOKS`)."""
    paths = result["paths"]
    for polling_path, (path, name, text) in _STREAMS.items():
        polling_operation = paths[polling_path]["get"]
        shared = {key: deepcopy(polling_operation[key]) for key in ("tags", "security")}
        parameters = [deepcopy(each) for each in polling_operation["parameters"] if each["in"] == "path"]
        error_responses = {
            status: deepcopy(response)
            for status, response in polling_operation["responses"].items()
            if status != "200"
        }
        error_responses["400"] = {
            **error_responses["404"],
            "description": "The cursor is malformed, or a parameter is unknown.",
        }
        paths[path] = {
            "get": {
                "operationId": name,
                "description": text + _DESCRIPTION,
                "parameters": [*_PARAMETERS, *parameters],
                **shared,
                "responses": {"200": _stream_response(), **error_responses},
            }
        }
    result["paths"] = dict(sorted(paths.items()))
    return result


def _stream_response() -> Json:
    media = {"schema": {"type": "string"}, "examples": _EXAMPLES}
    return {"content": {"text/event-stream": media}, "description": "Events, for as long as the client listens."}
