"""Every frame and close code of the socket protocol; docs/protocol.md tells the same in prose.

Frames are JSON text. The makers below return bytes, encoded once and sent to every member as they are.
"""

from typing import Any, Final

import orjson

VERSION: Final = "freight.v1"
HEARTBEAT_SECONDS: Final = 25
AUTHENTICATION_SECONDS: Final = 5
# How long before the credentials end the client is told.
EXPIRY_WARNING_SECONDS: Final = 60
MAX_MESSAGE_BYTES: Final = 16 * 1024
MAX_ROOMS: Final = 200
MAX_REPLAY: Final = 1000
# Half of what may wait for a socket before it counts as one that does not read.
MAX_REPLAY_BYTES: Final = 512 * 1024
MAX_ID_LENGTH: Final = 64

# What an update says of the shipment beside its event: the head of the snapshot.
SUMMARY_FIELDS: Final = ("id", "reference", "status", "eta", "deliveredAt", "flags", "updatedAt")

# What decides which drivers and customers see a shipment.
REASSIGNMENT_FIELDS: Final = frozenset({"driver", "customer"})

Json = dict[str, Any]


class InvalidFrame(Exception):
    """A client's frame cannot be understood; the sentence goes back to it."""


def decode(text: str | None, binary: bytes | None) -> Json:
    """Return a client's frame; raises BadFrame for anything but a small JSON object with a type."""
    if text is None:
        raise InvalidFrame("Send JSON in text frames; binary frames are not understood.")
    if len(text) > MAX_MESSAGE_BYTES or len(text.encode()) > MAX_MESSAGE_BYTES:
        raise InvalidFrame(f"A frame is at most {MAX_MESSAGE_BYTES} bytes.")
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidFrame("The frame is not JSON.") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise InvalidFrame('A frame is an object with a "type".')
    identifier = frame.get("id")
    if identifier is not None and not _is_valid_id(identifier):
        raise InvalidFrame(f'"id" is a number or a string of at most {MAX_ID_LENGTH} characters.')
    return frame


def _is_valid_id(identifier: object) -> bool:
    if isinstance(identifier, bool):
        return False
    return isinstance(identifier, int | float) or (isinstance(identifier, str) and len(identifier) <= MAX_ID_LENGTH)


def encode(frame: Json) -> bytes:
    """Return a frame as it goes over the wire."""
    return orjson.dumps(frame)


def welcome(*, connection_id: str, expires_at: str | None) -> bytes:
    """Greet an authenticated client and name its limits."""
    return encode(
        {
            "type": "welcome",
            "connectionId": connection_id,
            "expiresAt": expires_at,
            "heartbeat": HEARTBEAT_SECONDS,
            "limits": {"messageBytes": MAX_MESSAGE_BYTES, "rooms": MAX_ROOMS, "replay": MAX_REPLAY},
        }
    )


def update(*, room: str, reference: str | None, epoch: str, seq: int, event: Json, shipment: Json | None) -> bytes:
    """Tell one event, with what the room shows of its shipment; `seq` is the room's number."""
    return encode(
        {
            "type": "shipment:update",
            "room": room,
            "shipmentId": reference,
            "epoch": epoch,
            "seq": seq,
            "event": event,
            "shipment": shipment,
        }
    )


def is_reassignment(event: Json) -> bool:
    """Tell whether a shipment went to somebody else by this event."""
    return not REASSIGNMENT_FIELDS.isdisjoint(event["data"]["changes"])


def fold_summary(summary: Json, event: Json) -> Json:
    """Return the summary after an event: its `changes` laid over, as clients do with snapshots."""
    changes = event["data"]["changes"]
    return {key: changes.get(key, value) for key, value in summary.items()} | {"updatedAt": event["recordedAt"]}


def joined_with_events(*, echo: object, room: str, epoch: str, seq: int, events: list[Json]) -> bytes:
    """Answer a join that could be resumed: every event behind the client's `since`."""
    return encode(_room_joined(echo, room, epoch, seq) | {"recovered": True, "events": events})


def joined_with_snapshot(*, echo: object, room: str, epoch: str, seq: int, reason: str, snapshot: Json) -> bytes:
    """Answer a join with today's state; `reason` is new, epoch, too_far or pruned."""
    return encode(
        _room_joined(echo, room, epoch, seq) | {"recovered": False, "reason": reason, "snapshot": snapshot}
    )


def joined_latest(*, echo: object, room: str, value: Json | None) -> bytes:
    """Answer a join to a room without a history: here is the newest value, null where there is none."""
    return encode(
        _with_echo(
            {"type": "room:joined", "room": room, "recovered": False, "reason": "new", "snapshot": value}, echo
        )
    )


def driver_location(value: Json) -> bytes:
    """Tell where a driver is: `{driverId, latitude, longitude, recordedAt}`."""
    return encode({"type": "driver:location:update", **value})


def export_progress(value: Json) -> bytes:
    """Tell how far a background export is: `{exportId, state, done, total}`."""
    return encode({"type": "export:progress", **value})


def import_progress(value: Json) -> bytes:
    """Tell how far an import is: `{importId, state, done, total}`."""
    return encode({"type": "import:progress", **value})


def stale(*, since: str) -> bytes:
    """Say that the log cannot be read: what the client has may be old since then."""
    return encode({"type": "stale", "since": since})


def drain(*, retry_ms: int) -> bytes:
    """Say that the server ends soon: come again after so many milliseconds, to any other."""
    return encode({"type": "drain", "retryMs": retry_ms})


def room_left(*, room: str, reason: str, echo: object = None) -> bytes:
    """Say that a room's updates stop; `reason` is left, forbidden or deleted."""
    return encode(_with_echo({"type": "room:left", "room": room, "reason": reason}, echo))


def heartbeat(heads: dict[str, int]) -> bytes:
    """Say that the line is alive, with the head of every joined room."""
    return encode({"type": "heartbeat", "heads": heads})


def pong(*, echo: object, t: object, timestamp: str) -> bytes:
    """Answer a ping."""
    return encode(_with_echo({"type": "pong", "t": t, "timestamp": timestamp}, echo))


def token_expiring(*, expires_at: str) -> bytes:
    """Say that the credentials end soon, so that the client sends newer ones."""
    return encode({"type": "token:expiring", "expiresAt": expires_at})


def token_refreshed(*, expires_at: str | None, echo: object) -> bytes:
    """Answer newer credentials with the time when they end."""
    return encode(_with_echo({"type": "token:refreshed", "expiresAt": expires_at}, echo))


def error(*, code: str, message: str, echo: object = None, **extra: Any) -> bytes:
    """Refuse one frame; the socket stays open."""
    return encode(_with_echo({"type": "error", "code": code, "message": message, **extra}, echo))


def no_such_room(*, echo: object, room: str) -> bytes:
    """Answer a join to a room that is missing or forbidden, both alike."""
    return error(code="not_found", message="There is no such room.", echo=echo, room=room)


def _room_joined(echo: object, room: str, epoch: str, seq: int) -> Json:
    return _with_echo({"type": "room:joined", "room": room, "epoch": epoch, "seq": seq}, echo)


def _with_echo(frame: Json, echo: object) -> Json:
    return frame if echo is None else {"type": frame["type"], "id": echo, **frame}
