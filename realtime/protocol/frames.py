"""Builders of every server frame, and the decoder of client frames; docs/protocol.md describes them in prose.

Frames are JSON text. Builders return encoded bytes: a frame is encoded once, and every member gets the same bytes.
"""

from typing import Any, Final

import orjson

VERSION: Final = "freight.v1"
HEARTBEAT_SECONDS: Final = 25
AUTHENTICATION_SECONDS: Final = 5
# How long before the credentials expire the client is warned.
EXPIRY_WARNING_SECONDS: Final = 60
MAX_MESSAGE_BYTES: Final = 16 * 1024
MAX_ROOMS: Final = 200
MAX_REPLAY: Final = 1000
# Half of the send buffer at which a socket is closed as a slow consumer (freight/server/websocket/send_buffer.py).
MAX_REPLAY_BYTES: Final = 512 * 1024
MAX_ID_LENGTH: Final = 64

# The shipment fields that accompany every event: the first fields of its snapshot.
SUMMARY_FIELDS: Final = ("id", "reference", "status", "eta", "deliveredAt", "flags", "updatedAt")

# Changes of these fields decide which drivers and customers may see a shipment.
REASSIGNMENT_FIELDS: Final = frozenset({"driver", "customer"})

Json = dict[str, Any]


class InvalidFrame(Exception):
    """A client's frame is malformed; the message is sent back to the client."""


def decode(text: str | None, binary: bytes | None) -> Json:
    """Return a client's frame; raise InvalidFrame unless it is a JSON object with a `type`, within the limits."""
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
    """Return a frame as JSON bytes."""
    return orjson.dumps(frame)


def welcome(*, connection_id: str, expires_at: str | None) -> bytes:
    """Build `welcome`, the answer to valid credentials, with the limits of the socket."""
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
    """Build `shipment:update`: an event and its shipment's summary; `seq` is the event's number in the room."""
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


def feed_update(*, room: str, epoch: str, entry: Json) -> bytes:
    """Build `shipment:update` for an entry of the feed, whose position is the number in the room."""
    reference = entry["shipmentId"]
    return update(
        room=room,
        reference=reference,
        epoch=epoch,
        seq=entry["position"],
        event={name: value for name, value in entry.items() if name not in {"position", "shipmentId"}},
        shipment=reference
        and {"reference": reference, "status": entry["status"], "updatedAt": entry["recordedAt"]},
    )


def summary_of(frame: bytes) -> Json:
    """Return the shipment's summary in an encoded `shipment:update`."""
    summary: Json = orjson.loads(frame)["shipment"]
    return summary


def is_reassignment(event: Json) -> bool:
    """Return whether an event gave a shipment to another driver or customer."""
    return not REASSIGNMENT_FIELDS.isdisjoint(event["data"]["changes"])


def fold_summary(summary: Json, event: Json) -> Json:
    """Return the summary after an event, whose `changes` are merged as clients merge them into a snapshot."""
    changes = event["data"]["changes"]
    return {key: changes.get(key, value) for key, value in summary.items()} | {"updatedAt": event["recordedAt"]}


def joined_with_events(*, echo: object, room: str, epoch: str, seq: int, events: list[Json]) -> bytes:
    """Build `room:joined` for a resumed join: every event after the client's `since`."""
    return encode(_room_joined(echo, room, epoch, seq) | {"recovered": True, "events": events})


def joined_with_snapshot(*, echo: object, room: str, epoch: str, seq: int, reason: str, snapshot: Json) -> bytes:
    """Build `room:joined` with the current state; `reason` is new, epoch, too_far or pruned."""
    return encode(
        _room_joined(echo, room, epoch, seq) | {"recovered": False, "reason": reason, "snapshot": snapshot}
    )


def joined_latest(*, echo: object, room: str, value: Json | None, reason: str = "new") -> bytes:
    """Build `room:joined` for a room without a history: its newest value, null where there is none."""
    return encode(
        _with_echo(
            {"type": "room:joined", "room": room, "recovered": False, "reason": reason, "snapshot": value}, echo
        )
    )


def driver_location(value: Json) -> bytes:
    """Build `driver:location:update` from `{driverId, latitude, longitude, recordedAt}`."""
    return encode({"type": "driver:location:update", **value})


def export_progress(value: Json) -> bytes:
    """Build `export:progress` from `{exportId, state, done, total}`."""
    return encode({"type": "export:progress", **value})


def import_progress(value: Json) -> bytes:
    """Build `import:progress` from `{importId, state, done, total}`."""
    return encode({"type": "import:progress", **value})


def stale(*, since: str) -> bytes:
    """Build `stale`: the log cannot be read, so the client's state may be outdated since then."""
    return encode({"type": "stale", "since": since})


def drain(*, retry_ms: int) -> bytes:
    """Build `drain`: the server shuts down; the client reconnects after `retry_ms`, to any process."""
    return encode({"type": "drain", "retryMs": retry_ms})


def room_left(*, room: str, reason: str, echo: object = None) -> bytes:
    """Build `room:left`, the end of a room's updates; `reason` is left, forbidden or deleted."""
    return encode(_with_echo({"type": "room:left", "room": room, "reason": reason}, echo))


def heartbeat(heads: dict[str, int]) -> bytes:
    """Build `heartbeat` with the head of every joined room, by the room's name."""
    return encode({"type": "heartbeat", "heads": heads})


def pong(*, echo: object, t: object, timestamp: str) -> bytes:
    """Build `pong`, the answer to a ping."""
    return encode(_with_echo({"type": "pong", "t": t, "timestamp": timestamp}, echo))


def token_expiring(*, expires_at: str) -> bytes:
    """Build `token:expiring`: the credentials expire soon, so the client should send newer ones."""
    return encode({"type": "token:expiring", "expiresAt": expires_at})


def token_refreshed(*, expires_at: str | None, echo: object) -> bytes:
    """Build `token:refreshed`, the answer to newer credentials, with their expiry."""
    return encode(_with_echo({"type": "token:refreshed", "expiresAt": expires_at}, echo))


def error(*, code: str, message: str, echo: object = None, **extra: Any) -> bytes:
    """Build `error`: one client frame is refused and the socket stays open."""
    return encode(_with_echo({"type": "error", "code": code, "message": message, **extra}, echo))


def no_such_room(*, echo: object, room: str) -> bytes:
    """Build the `error` for a room that is missing or forbidden; both look alike."""
    return error(code="not_found", message="There is no such room.", echo=echo, room=room)


def _room_joined(echo: object, room: str, epoch: str, seq: int) -> Json:
    return _with_echo({"type": "room:joined", "room": room, "epoch": epoch, "seq": seq}, echo)


def _with_echo(frame: Json, echo: object) -> Json:
    return frame if echo is None else {"type": frame["type"], "id": echo, **frame}
