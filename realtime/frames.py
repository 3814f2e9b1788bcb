"""What frames hold: the one declaration behind the check of what clients send and the reference that they read.

Fields are JSON Schema (2020-12). A field whose name ends in `?` may be left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}
INSTANT: Final[Schema] = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC"}
ECHO: Final[Schema] = {
    "anyOf": [{"type": "number"}, {"type": "string", "maxLength": 64}],
    "description": "The client's own, echoed in the answer.",
}
ROOM: Final[Schema] = {
    "type": "string",
    "pattern": "^(shipment:[A-Za-z0-9][A-Za-z0-9._-]{0,63}|(driver|export|import):[0-9a-fA-F-]{36}|shipments:all)$",
}
ANY_ROOM: Final[Schema] = {
    "type": "string",
    "description": "The room as the client called it, at most 80 characters.",
}
EPOCH: Final[Schema] = {"type": "string", "description": "Which history of the database the numbers belong to."}
LATITUDE: Final[Schema] = {"type": "number", "minimum": -90, "maximum": 90, "description": "WGS 84 degrees"}
LONGITUDE: Final[Schema] = {"type": "number", "minimum": -180, "maximum": 180, "description": "WGS 84 degrees"}
OBJECT: Final[Schema] = {"type": "object"}
WISH: Final[dict[str, Schema]] = {
    "shipmentId?": {"type": "string", "description": "Short for the room shipment:…"},
    "room?": ROOM,
    "since?": {**WHOLE, "description": "The last number that the client has."},
    "epoch?": EPOCH,
}


def nullable(schema: Schema) -> Schema:
    """This will allow null as well."""
    return {"anyOf": [schema, {"type": "null"}]}


def of(fields: Mapping[str, Schema]) -> Schema:
    """This will return the schema of an object with these fields; more may come with a later version."""
    return {
        "type": "object",
        "required": [name for name in fields if not name.endswith("?")],
        "properties": {name.removesuffix("?"): schema for name, schema in fields.items()},
    }


# As REST tells it; `seq` is the shipment's own number.
EVENT: Final = of(
    {
        "id": TEXT,
        "seq": WHOLE,
        "type": TEXT,
        "status": nullable(TEXT),
        "occurredAt": INSTANT,
        "recordedAt": INSTANT,
        "location": nullable(OBJECT),
        "actor": of({"role": TEXT, "id": nullable(TEXT)}),
        "data": of({"changes": OBJECT}),
    }
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One type of frame."""

    type: str
    sender: Literal["client", "server"]
    summary: str
    fields: Mapping[str, Schema]

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the whole frame."""
        return of({"type": {"const": self.type}, **self.fields})


def _asks(name: str, summary: str, **fields: Schema) -> Frame:
    return Frame(name, "client", summary, {"id?": ECHO, **fields})


def _tells(name: str, summary: str, **fields: Schema) -> Frame:
    return Frame(name, "server", summary, fields)


def _may(**fields: Schema) -> dict[str, Schema]:
    return {f"{name}?": schema for name, schema in fields.items()}


def _measure(unit: str, most: int) -> Schema:
    return {"type": ["number", "null"], "minimum": 0, "maximum": most, "description": unit}


_ROOMS: Final[Schema] = {"type": "array", "minItems": 1, "maxItems": 200, "items": of(WISH)}
_POSITION: Final[dict[str, Schema]] = {"latitude": LATITUDE, "longitude": LONGITUDE}

FRAMES: Final = (
    _asks("auth", "Says who it is, within five seconds, where no header and no cookie does.", token=TEXT),
    _asks("join:room", "Enters one room or up to 200.", **WISH, **_may(rooms=_ROOMS)),
    _asks("leave:room", "Leaves a room.", **_may(shipmentId=TEXT, room=ROOM)),
    _asks("token:refresh", "Goes on with a newer access token of the same user.", token=TEXT),
    _asks("ping", "Asks for a pong.", **_may(t={"type": ["number", "string", "null"]})),
    _asks(
        "driver:location", "Tells a driver's own position.", **_POSITION,
        **_may(
            accuracy=_measure("metres", 100_000), speed=_measure("metres a second", 500),
            bearing=_measure("degrees from north", 360), recordedAt=INSTANT,
        ),
    ),
    _tells(
        "welcome", "The client is known.", connectionId=TEXT, expiresAt=nullable(INSTANT),
        heartbeat={**WHOLE, "description": "seconds"}, limits=OBJECT,
    ),
    _tells(
        "room:joined", "The answer to a join: every event behind `since`, or the whole state.", room=ROOM,
        recovered={"type": "boolean"},
        **_may(
            id=ECHO, epoch=EPOCH, seq=WHOLE, events={"type": "array", "items": EVENT},
            reason={"enum": ["new", "epoch", "too_far", "pruned"]}, snapshot=nullable(OBJECT),
        ),
    ),
    _tells(
        "shipment:update", "One committed event; `seq` is the room's number.", room=ROOM, shipmentId=nullable(TEXT),
        epoch=EPOCH, seq=WHOLE, event=EVENT, shipment=nullable(OBJECT),
    ),
    _tells("driver:location:update", "Where a driver is.", driverId=TEXT, **_POSITION, recordedAt=INSTANT),
    _tells(
        "export:progress", "How far a background export is.", exportId=TEXT, state=TEXT, done=WHOLE,
        total=nullable(WHOLE),
    ),
    _tells(
        "import:progress", "How far an import of shipments is.", importId=TEXT, state=TEXT, done=WHOLE,
        total=nullable(WHOLE),
    ),
    _tells(
        "room:left", "A room's updates stop.", room=ANY_ROOM, reason={"enum": ["left", "forbidden", "deleted"]},
        **_may(id=ECHO),
    ),
    _tells(
        "heartbeat", "The line is alive; the head of every joined room.",
        heads={"type": "object", "additionalProperties": WHOLE},
    ),
    _tells("pong", "The answer to a ping.", t={}, timestamp=INSTANT, **_may(id=ECHO)),
    _tells("token:expiring", "The credentials end soon.", expiresAt=INSTANT),
    _tells("token:refreshed", "The answer to token:refresh.", expiresAt=nullable(INSTANT), **_may(id=ECHO)),
    _tells("drain", "The server goes; reconnect after `retryMs`.", retryMs=WHOLE),
    _tells("stale", "The log cannot be read: what the client has may be old.", since=INSTANT),
    _tells("error", "One frame was refused; the socket stays open.", code=TEXT, message=TEXT,
           **_may(id=ECHO, room=ANY_ROOM)),
)  # fmt: skip
BY_TYPE: Final[Mapping[str, Frame]] = {frame.type: frame for frame in FRAMES}
