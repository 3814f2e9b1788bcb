"""What customers and tracking links see of a shipment and its events: pure, without Django.

The JSON of `representation` is what staff see. These functions return the variant `restricted` of it: words that
staff write for each other, accounts and other customers are left out. docs/decisions/0049 lists every field.
Applied to a snapshot and to the events after it alike, they keep the rule that snapshot(n) with the changes of n+1
is snapshot(n+1).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

# Events whose `note` is written for everybody who sees the shipment. That of all others is a reason, for staff.
PUBLIC_NOTES: Final = frozenset({"transitioned", "observed"})
# What is left out of an event's actor.
_NOBODY: Final[Json] = {"id": None, "key": None, "requestId": None}


def restrict_flags(flags: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Return the open flags without their reasons."""
    return [{**flag, "reason": ""} for flag in flags]


def restrict_snapshot(snapshot: Json) -> Json:
    """Return a snapshot, or the summary of one, without the reasons of its flags."""
    return {**snapshot, "flags": restrict_flags(snapshot["flags"])}


def restrict_event(event: Json, *, customer_id: str | None) -> Json:
    """Return an event without reasons, customers other than `customer_id`, and its actor but for the role.

    `customer_id` is the customer to which the shipment belongs now.
    """
    data = dict(event["data"])
    data["changes"] = _restrict_changes(data["changes"], customer_id=customer_id)
    if event["type"] not in PUBLIC_NOTES:
        data.pop("note", None)
    return {**event, "actor": {"role": event["actor"]["role"], **_NOBODY}, "data": data}


def _restrict_changes(changes: Mapping[str, Any], *, customer_id: str | None) -> Json:
    restricted = dict(changes)
    if "flags" in restricted:
        restricted["flags"] = restrict_flags(restricted["flags"])
    customer = restricted.get("customer")
    if customer is not None and customer["id"] != customer_id:
        restricted["customer"] = None
    return restricted
