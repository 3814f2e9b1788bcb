"""The frame reference as an AsyncAPI 3 document, generated from frame_schemas.py and close_codes.py."""

from typing import Any

from realtime.protocol.close_codes import CLOSE_MEANINGS
from realtime.protocol.frame_schemas import FRAMES, FrameType
from realtime.protocol.frames import VERSION


def document() -> dict[str, Any]:
    """Return the document as JSON-serialisable values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Freight, live",
            "version": VERSION.removeprefix("freight.v") + ".0.0",
            "description": (
                f"WebSocket, subprotocol `{VERSION}`, JSON in text frames. docs/protocol.md explains its use. "
                "Close codes: "
                + "; ".join(f"{int(code)} {meaning}" for code, meaning in CLOSE_MEANINGS.items())
                + "."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "ws": {"address": "/ws/", "messages": {_id(frame): {"$ref": _message(frame)} for frame in FRAMES}}
        },
        "operations": {
            "receive": _operation("receive", "Frames that the server accepts.", "client"),
            "send": _operation("send", "Frames that the server sends.", "server"),
        },
        "components": {
            "messages": {
                _id(frame): {"name": frame.type, "summary": frame.summary, "payload": frame.schema}
                for frame in FRAMES
            }
        },
    }


def _operation(action: str, summary: str, sender: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/ws"},
        "messages": [
            {"$ref": f"#/channels/ws/messages/{_id(frame)}"} for frame in FRAMES if frame.sender == sender
        ],
    }


def _id(frame: FrameType) -> str:
    """Return a message key: `shipment:update` becomes `shipmentUpdate`."""
    first, *rest = frame.type.split(":")
    return first + "".join(word.capitalize() for word in rest)


def _message(frame: FrameType) -> str:
    return f"#/components/messages/{_id(frame)}"
