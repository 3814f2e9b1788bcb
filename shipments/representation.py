"""The JSON of shipments, events, drivers and places, made from rows of `.values()`.

Times are RFC 3339 UTC with `Z`, decimals are strings without an exponent, ids are strings.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from shipments.domain import lifecycle, visibility
from shipments.domain.json_values import ALWAYS as ALWAYS
from shipments.domain.json_values import amount as amount
from shipments.domain.json_values import driver_position as driver_position
from shipments.domain.json_values import identifier as identifier
from shipments.domain.json_values import instant as instant
from shipments.domain.json_values import microseconds as microseconds
from shipments.domain.json_values import party as party
from shipments.domain.json_values import position as position

Row = Mapping[str, Any]
Json = dict[str, Any]

PLACE_COLUMNS: Final = ("locode", "name", "country", "latitude", "longitude", "details")
# Before the newest position of the driver in the columns of a shipment.
POSITION_PREFIX: Final = "driver__last_position__"
# The columns of a row for `shipment`, as arguments of `.values()`.
SHIPMENT_COLUMNS: Final = (
    "id", "reference", "status", "seq", "customer_id", "customer__name", "driver_id", "driver__name",
    "driver__phone", "references", "pieces", "weight_kg", "volume_m3", "planned_pickup_at",
    "planned_delivery_at", "eta", "delivered_at", "underway_since", "flags", "notes", "created_at", "updated_at",
    "driver__last_position__latitude", "driver__last_position__longitude", "driver__last_position__recorded_at",
    *(f"{end}__{column}" for end in ("origin", "destination") for column in PLACE_COLUMNS),
)  # fmt: skip
EVENT_COLUMNS: Final = (
    "id", "seq", "type", "status", "occurred_at", "recorded_at", "actor_role", "actor_id", "actor_key_id",
    "actor_key_name", "request_id", "data",
    *(f"location__{column}" for column in PLACE_COLUMNS),
)  # fmt: skip
_FEED_OF_EVENT: Final = "event__"
FEED_COLUMNS: Final = (
    *(f"{_FEED_OF_EVENT}{column}" for column in EVENT_COLUMNS), "event__shipment__reference", "position",
)  # fmt: skip
# What the variant `restricted` of an event needs beside its own columns: to whom the shipment belongs now.
_CURRENT_CUSTOMER: Final = "shipment__customer_id"
DRIVER_COLUMNS: Final = (
    "id", "name", "phone", "status", "license_number", "vehicle",
    "last_position__latitude", "last_position__longitude", "last_position__recorded_at",
)  # fmt: skip
AUDIT_COLUMNS: Final = (
    "id", "at", "actor_role", "actor_id", "actor_name", "action", "entity", "entity_id", "before", "after",
    "address", "request_id", "outcome",
)  # fmt: skip
PICTURE_COLUMNS: Final = ("kind", "media_type", "width", "height", "sha256")
CUSTOMER_COLUMNS: Final = ("id", "name", "email", "phone", "created_at", "updated_at")


def place(row: Row, prefix: str = "") -> Json | None:
    """Return `{locode, name, country, latitude, longitude, …}`, None where the row has no place.

    Facility, street, city, state and postcode are there where they were given.
    """
    if row[f"{prefix}name"] is None:
        return None
    return _place({column: row[f"{prefix}{column}"] for column in PLACE_COLUMNS})


def _place(body: Json) -> Json:
    details = body.pop("details")
    return body | orjson.loads(details) if details else body


def positions_since(row: Row, variant: str) -> datetime | None:
    """Return the earliest time of a position that is shown with this shipment; with None no position is.

    The one place that decides it, for every door (docs/decisions/0049). Staff see where the driver is. A customer
    or tracking link sees where its shipment is: only while it is under way, by positions of that time.
    """
    if variant == "staff":
        return ALWAYS
    since: datetime | None = row["underway_since"]
    return since if row["status"] in lifecycle.UNDERWAY else None


def snapshot(row: Row) -> Json:
    """Return the public snapshot of a shipment: what every role may see, and what the log alone determines.

    No phone, no notes, no position: applying the `changes` of the events n+1…m to snapshot(n) gives snapshot(m).
    """
    return {
        "id": identifier(row["id"]),
        "reference": row["reference"],
        "status": row["status"],
        "seq": row["seq"],
        "origin": place(row, "origin__"),
        "destination": place(row, "destination__"),
        "customer": party(row["customer_id"], row["customer__name"]),
        "driver": party(row["driver_id"], row["driver__name"]),
        "references": row["references"],
        "pieces": row["pieces"],
        "weightKg": amount(row["weight_kg"]),
        "volumeM3": amount(row["volume_m3"]),
        "plannedPickupAt": instant(row["planned_pickup_at"]),
        "plannedDeliveryAt": instant(row["planned_delivery_at"]),
        "eta": instant(row["eta"]),
        "deliveredAt": instant(row["delivered_at"]),
        "flags": row["flags"],
        "createdAt": instant(row["created_at"]),
        "updatedAt": instant(row["updated_at"]),
    }


def shipment(row: Row, variant: str) -> Json:
    """Return a shipment as REST shows it in one visibility variant (`staff`, `restricted`)."""
    body = snapshot_in(snapshot(row), variant)
    body["position"] = shipment_position(row, variant)
    if variant == "staff":
        body["notes"] = row["notes"]
        body["allowedTransitions"] = allowed_transitions(row)
        if body["driver"]:
            body["driver"]["phone"] = row["driver__phone"]
    return body


def allowed_transitions(row: Row) -> list[str]:
    """Return the states to which a command may move a shipment now: like its position no part of the snapshot."""
    on_hold = lifecycle.has_flag(row["flags"], "on_hold")
    assigned = row["driver_id"] is not None
    return list(lifecycle.allowed_transitions(row["status"], assigned=assigned, on_hold=on_hold))


def snapshot_in(snapshot_json: Json, variant: str) -> Json:
    """Return a snapshot, or the summary of one, in a visibility variant."""
    return snapshot_json if variant == "staff" else visibility.restrict_snapshot(snapshot_json)


def shipment_position(row: Row, variant: str) -> Json | None:
    """Return the `position` of a shipment, None where there is none to show in this variant."""
    return position(row, POSITION_PREFIX, since=positions_since(row, variant))


def event_columns(variant: str) -> tuple[str, ...]:
    """Return the columns of a row for `event` in a visibility variant, as arguments of `.values()`."""
    return EVENT_COLUMNS if variant == "staff" else (*EVENT_COLUMNS, _CURRENT_CUSTOMER)


def event(row: Row, variant: str) -> Json:
    """Return one event of the log in a visibility variant."""
    body = {
        "id": identifier(row["id"]),
        "seq": row["seq"],
        "type": row["type"],
        "status": row["status"],
        "occurredAt": instant(row["occurred_at"]),
        "recordedAt": instant(row["recorded_at"]),
        "location": place(row, "location__"),
        "actor": {
            "role": row["actor_role"],
            "id": identifier(row["actor_id"]) if row["actor_id"] else None,
            "key": party(row["actor_key_id"], row["actor_key_name"]),
            "requestId": row["request_id"],
        },
        "data": row["data"],
    }
    if variant == "staff":
        return body
    customer_id = row[_CURRENT_CUSTOMER]
    return visibility.restrict_event(body, customer_id=identifier(customer_id) if customer_id else None)


def feed_columns(variant: str) -> tuple[str, ...]:
    """Return the columns of a row for `feed_entry` in a visibility variant, as arguments of `.values()`."""
    return FEED_COLUMNS if variant == "staff" else (*FEED_COLUMNS, f"{_FEED_OF_EVENT}{_CURRENT_CUSTOMER}")


def feed_entry(row: Row, variant: str) -> Json:
    """Return one entry of an organisation's feed: the event, the reference of its shipment, its position."""
    event_row = {column: row[f"{_FEED_OF_EVENT}{column}"] for column in event_columns(variant)}
    return event(event_row, variant) | {
        "shipmentId": row["event__shipment__reference"],
        "position": row["position"],
    }


def apply_event(snapshot_json: Json, event_json: Json) -> Json:
    """Return the snapshot after one more event, by its `changes`, as every client computes it."""
    changes: Json = event_json["data"]["changes"]
    return snapshot_json | changes | {"seq": event_json["seq"], "updatedAt": event_json["recordedAt"]}


def checkpoint(instance: Any) -> Json:
    """Return a checkpoint as it was stored; only its voiding, which is not shown here, could change it."""
    return {
        "id": str(instance.pk),
        "outcome": instance.outcome,
        "seq": instance.seq,
        "classifier": instance.classifier,
        "status": instance.state or None,
        "code": instance.code or None,
        "codeSystem": instance.code_system or None,
        "occurredAt": instant(instance.occurred_at),
        "recordedAt": instant(instance.recorded_at),
        "location": place_of_location(instance.location),
        "note": instance.note,
        "source": instance.source,
        "sourceEventId": instance.source_event_id,
    }


def listed_checkpoint(instance: Any, variant: str) -> Json:
    """Return a checkpoint as it is now, in a visibility variant: with its voiding, whose reason is for staff."""
    body = checkpoint(instance) | {"voidedAt": instant(instance.voided_at)}
    return body | {"voidReason": instance.void_reason} if variant == "staff" else body


def proof(instance: Any, pictures: Iterable[Row]) -> Json:
    """Return a proof of delivery with the metadata of its pictures (rows of PICTURE_COLUMNS)."""
    by_kind = {
        row["kind"]: {
            "mediaType": row["media_type"],
            "width": row["width"],
            "height": row["height"],
            "sha256": bytes(row["sha256"]).hex(),
        }
        for row in pictures
    }
    return {
        "id": str(instance.pk),
        "seq": instance.seq,
        "signerName": instance.signer_name,
        "signedAt": instant(instance.signed_at),
        "recordedAt": instant(instance.recorded_at),
        "note": instance.note,
        "signature": by_kind.get("signature"),
        "photo": by_kind.get("photo"),
        "supersedes": str(instance.supersedes_id) if instance.supersedes_id else None,
    }


def place_of_location(location: Any) -> Json | None:
    """Return the JSON of a stored place."""
    return None if location is None else _place({column: getattr(location, column) for column in PLACE_COLUMNS})


def summary(snapshot_json: Json) -> Json:
    """Return the part of a snapshot that an update carries beside its event."""
    return {
        key: snapshot_json[key] for key in ("id", "reference", "status", "eta", "deliveredAt", "flags", "updatedAt")
    }


def driver(row: Row) -> Json:
    """Return a driver, with phone, for viewers who may see drivers."""
    return {
        "id": identifier(row["id"]),
        "name": row["name"],
        "phone": row["phone"],
        "status": row["status"],
        "licenseNumber": row["license_number"],
        "vehicle": row["vehicle"],
        "position": position(row, "last_position__"),
    }


def customer(row: Row) -> Json:
    """Return a customer account."""
    return {
        "id": identifier(row["id"]),
        "name": row["name"],
        "email": row["email"],
        "phone": row["phone"],
        "createdAt": instant(row["created_at"]),
        "updatedAt": instant(row["updated_at"]),
    }


def audit_entry(row: Row) -> Json:
    """Return one entry of the audit trail."""
    return {
        "id": identifier(row["id"]),
        "at": instant(row["at"]),
        "actor": {
            "role": row["actor_role"],
            "id": identifier(row["actor_id"]) if row["actor_id"] else None,
            "name": row["actor_name"],
        },
        "action": row["action"],
        "entity": row["entity"],
        "entityId": row["entity_id"],
        "before": row["before"],
        "after": row["after"],
        "address": row["address"],
        "requestId": row["request_id"],
        "outcome": row["outcome"],
    }
