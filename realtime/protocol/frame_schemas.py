"""The fields of every frame, as JSON Schema (2020-12).

docs/asyncapi.json is generated from these declarations (asyncapi.py), and tests validate the server's frames
against them. A field whose name ends in `?` is optional.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NON_NEGATIVE_INTEGER: Final[Schema] = {"type": "integer", "minimum": 0}
TIMESTAMP: Final[Schema] = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC"}
ECHO_ID: Final[Schema] = {
    "anyOf": [{"type": "number"}, {"type": "string", "maxLength": 64}],
    "description": "Chosen by the client, echoed in the answer.",
}
ROOM: Final[Schema] = {
    "type": "string",
    "pattern": "^(shipment:[A-Za-z0-9][A-Za-z0-9._-]{0,63}|(driver|export|import):[0-9a-fA-F-]{36}|shipments:all)$",
}
ROOM_AS_SENT: Final[Schema] = {
    "type": "string",
    "description": "The room as the client named it, cut to 80 characters.",
}
EPOCH: Final[Schema] = {"type": "string", "description": "The history of the database that the numbers belong to."}
LATITUDE: Final[Schema] = {"type": "number", "minimum": -90, "maximum": 90, "description": "WGS 84 degrees"}
LONGITUDE: Final[Schema] = {"type": "number", "minimum": -180, "maximum": 180, "description": "WGS 84 degrees"}
OBJECT: Final[Schema] = {"type": "object"}
JOIN_REQUEST: Final[dict[str, Schema]] = {
    "shipmentId?": {"type": "string", "description": "Short for the room `shipment:<reference>`."},
    "room?": ROOM,
    "since?": {**NON_NEGATIVE_INTEGER, "description": "The number of the last event that the client has."},
    "epoch?": EPOCH,
}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    return {"anyOf": [schema, {"type": "null"}]}


def object_schema(fields: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object with at least these fields: later versions may add more."""
    return {
        "type": "object",
        "required": [name for name in fields if not name.endswith("?")],
        "properties": {name.removesuffix("?"): schema for name, schema in fields.items()},
    }


# The event as REST returns it; `seq` is its number in the shipment.
EVENT: Final = object_schema(
    {
        "id": TEXT,
        "seq": NON_NEGATIVE_INTEGER,
        "type": TEXT,
        "status": nullable(TEXT),
        "occurredAt": TIMESTAMP,
        "recordedAt": TIMESTAMP,
        "location": nullable(OBJECT),
        "actor": object_schema(
            {"role": TEXT, "id": nullable(TEXT), "key": nullable(OBJECT), "requestId": nullable(TEXT)}
        ),
        "data": object_schema({"changes": OBJECT}),
    }
)


@dataclass(frozen=True, slots=True)
class FrameType:
    """One frame type of the protocol and who sends it."""

    type: str
    sender: Literal["client", "server"]
    summary: str
    fields: Mapping[str, Schema]

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the whole frame."""
        return object_schema({"type": {"const": self.type}, **self.fields})


def _client_frame(name: str, summary: str, **fields: Schema) -> FrameType:
    return FrameType(name, "client", summary, {"id?": ECHO_ID, **fields})


def _server_frame(name: str, summary: str, **fields: Schema) -> FrameType:
    return FrameType(name, "server", summary, fields)


def _optional(**fields: Schema) -> dict[str, Schema]:
    return {f"{name}?": schema for name, schema in fields.items()}


def _measurement(unit: str, maximum: int) -> Schema:
    return {"type": ["number", "null"], "minimum": 0, "maximum": maximum, "description": unit}


_ROOMS: Final[Schema] = {"type": "array", "minItems": 1, "maxItems": 200, "items": object_schema(JOIN_REQUEST)}
_POSITION: Final[dict[str, Schema]] = {"latitude": LATITUDE, "longitude": LONGITUDE}

FRAMES: Final = (
    _client_frame("auth", "Authenticates within five seconds, where no header, ticket or cookie did.", token=TEXT),
    _client_frame("join:room", "Joins one room, or up to 200.", **JOIN_REQUEST, **_optional(rooms=_ROOMS)),
    _client_frame("leave:room", "Leaves a room.", **_optional(shipmentId=TEXT, room=ROOM)),
    _client_frame("token:refresh", "Replaces the token by a newer one of the same user.", token=TEXT),
    _client_frame("ping", "Asks for a pong.", **_optional(t={"type": ["number", "string", "null"]})),
    _client_frame(
        "driver:location", "Reports the position of the driver that sends it.", **_POSITION,
        **_optional(
            accuracy=_measurement("metres", 100_000), speed=_measurement("metres a second", 500),
            bearing=_measurement("degrees from north", 360), recordedAt=TIMESTAMP,
        ),
    ),
    _server_frame(
        "welcome", "The credentials are valid.", connectionId=TEXT, expiresAt=nullable(TIMESTAMP),
        heartbeat={**NON_NEGATIVE_INTEGER, "description": "seconds"}, limits=OBJECT,
    ),
    _server_frame(
        "room:joined", "The answer to a join: every event after `since`, or the current state.", room=ROOM,
        recovered={"type": "boolean"},
        **_optional(
            id=ECHO_ID, epoch=EPOCH, seq=NON_NEGATIVE_INTEGER, events={"type": "array", "items": EVENT},
            reason={"enum": ["new", "epoch", "too_far", "pruned"]}, snapshot=nullable(OBJECT),
        ),
    ),
    _server_frame(
        "shipment:update", "One committed event; `seq` is the room's number.", room=ROOM, shipmentId=nullable(TEXT),
        epoch=EPOCH, seq=NON_NEGATIVE_INTEGER, event=EVENT, shipment=nullable(OBJECT),
    ),
    _server_frame(
        "driver:location:update", "A driver's newest position.", driverId=TEXT, **_POSITION, recordedAt=TIMESTAMP,
    ),
    _server_frame(
        "export:progress", "The progress of a background export.",
        exportId=TEXT, state=TEXT, done=NON_NEGATIVE_INTEGER, total=nullable(NON_NEGATIVE_INTEGER),
    ),
    _server_frame(
        "import:progress", "The progress of an import of shipments.",
        importId=TEXT, state=TEXT, done=NON_NEGATIVE_INTEGER, total=nullable(NON_NEGATIVE_INTEGER),
    ),
    _server_frame(
        "room:left", "The updates of a room end.",
        room=ROOM_AS_SENT, reason={"enum": ["left", "forbidden", "deleted"]}, **_optional(id=ECHO_ID),
    ),
    _server_frame(
        "heartbeat", "The connection is alive; carries the head of every joined room.",
        heads={"type": "object", "additionalProperties": NON_NEGATIVE_INTEGER},
    ),
    _server_frame("pong", "The answer to a ping.", t={}, timestamp=TIMESTAMP, **_optional(id=ECHO_ID)),
    _server_frame("token:expiring", "The credentials expire soon.", expiresAt=TIMESTAMP),
    _server_frame(
        "token:refreshed", "The answer to token:refresh.", expiresAt=nullable(TIMESTAMP), **_optional(id=ECHO_ID),
    ),
    _server_frame("drain", "The server shuts down; reconnect after `retryMs`.", retryMs=NON_NEGATIVE_INTEGER),
    _server_frame("stale", "The log cannot be read: the client's state may be outdated.", since=TIMESTAMP),
    _server_frame(
        "error", "One client frame was refused; the socket stays open.", code=TEXT, message=TEXT,
        **_optional(id=ECHO_ID, room=ROOM_AS_SENT),
    ),
)  # fmt: skip
FRAMES_BY_TYPE: Final[Mapping[str, FrameType]] = {frame.type: frame for frame in FRAMES}
