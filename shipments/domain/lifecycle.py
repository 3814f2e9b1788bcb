"""The shipment's states, the commands between them and their guards: pure, without Django.

Commands are decisions of people and systems, and must follow `TRANSITIONS`; what carriers observe goes by
`status_fold`. The rank of a state is its index in `STATES`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

STATES: Final = (
    "draft",
    "booked",
    "dispatched",
    "at_pickup",
    "in_transit",
    "at_facility",
    "out_for_delivery",
    "at_delivery",
    "delivery_attempted",
    "available_for_pickup",
    "partially_delivered",
    "delivered",
    "returning",
    "returned",
    "cancelled",
    "lost",
)

TRANSITIONS: Final[dict[str, tuple[str, ...]]] = {
    "draft": ("booked", "cancelled"),
    "booked": ("dispatched", "draft", "cancelled"),
    "dispatched": ("at_pickup", "in_transit", "booked", "cancelled"),
    "at_pickup": ("in_transit", "dispatched", "cancelled"),
    "in_transit": (
        "at_facility", "out_for_delivery", "at_delivery", "delivery_attempted", "available_for_pickup",
        "partially_delivered", "delivered", "returning", "lost",
    ),
    "at_facility": (
        "in_transit", "out_for_delivery", "at_delivery", "delivery_attempted", "available_for_pickup",
        "partially_delivered", "delivered", "returning", "lost",
    ),
    "out_for_delivery": (
        "at_delivery", "delivery_attempted", "available_for_pickup", "partially_delivered", "delivered",
        "at_facility", "in_transit", "returning", "lost",
    ),
    "at_delivery": ("delivered", "partially_delivered", "delivery_attempted", "in_transit", "returning"),
    "delivery_attempted": (
        "out_for_delivery", "at_facility", "in_transit", "at_delivery", "available_for_pickup",
        "partially_delivered", "delivered", "returning", "lost",
    ),
    "available_for_pickup": ("delivered", "partially_delivered", "out_for_delivery", "returning", "lost"),
    "partially_delivered": (
        "out_for_delivery", "in_transit", "at_facility", "at_delivery", "delivered", "returning", "lost",
    ),
    "delivered": ("returning",),
    "returning": ("returned", "in_transit", "lost"),
    "returned": (),
    "cancelled": (),
    "lost": ("in_transit", "at_facility", "delivered", "returning"),
}  # fmt: skip

# What a map shows as moving, and the states in which the carrier has custody of the freight.
IN_MOTION: Final = frozenset({"in_transit", "at_facility", "out_for_delivery", "at_delivery", "returning"})
IN_CUSTODY: Final = frozenset(STATES) - {"draft", "booked", "dispatched", "at_pickup", "cancelled"}
# The driver has the freight: where the driver is, the shipment is. Not before pickup, and no longer once it was
# handed over, waits to be collected or is lost.
UNDERWAY: Final = IN_MOTION | {"delivery_attempted", "partially_delivered"}
INITIAL_STATES: Final = ("draft", "booked")
# After these hardly anything follows: where one was a mistake, only a correction leads back.
_ENDED: Final = frozenset({"delivered", "returned", "cancelled"})

FLAGS: Final = (
    "delayed",
    "on_hold",
    "customs_hold",
    "damaged",
    "refused",
    "address_issue",
    "temperature",
    "off_route",
    "stale",
    "exception",
)


def has_flag(flags: Iterable[Mapping[str, Any]], flag: str) -> bool:
    """Tell whether a flag is among the open ones, `Shipment.flags`."""
    return any(each["flag"] == flag for each in flags)


def underway_since(
    status: str, *, assigned: bool, before: datetime | None, reassigned: bool, now: datetime
) -> datetime | None:
    """Return since when this driver has had the freight, None where no driver has it.

    `before`: what it was before the change at `now`; `reassigned`: the change assigned another driver.
    """
    if status not in UNDERWAY or not assigned:
        return None
    return now if before is None or reassigned else before


class IllegalTransition(Exception):
    """The requested state may not follow, or a guard refuses it; `allowed` holds the states that may."""

    def __init__(self, current: str, to: str, allowed: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.current = current
        self.to = to
        self.allowed = allowed


def allowed_transitions(current: str, *, assigned: bool, on_hold: bool) -> tuple[str, ...]:
    """Return the states that a command may request now, guards considered."""
    return tuple(
        to for to in TRANSITIONS[current] if _guard_violation(to, assigned=assigned, on_hold=on_hold) is None
    )


def check_transition(current: str, to: str, *, assigned: bool, on_hold: bool) -> None:
    """Raise IllegalTransition unless a command may move a shipment from `current` to `to`.

    `assigned`: a driver is assigned; `on_hold`: the flag `on_hold` is open.
    """
    targets = allowed_transitions(current, assigned=assigned, on_hold=on_hold)
    if to in targets:
        return
    if to in TRANSITIONS[current]:
        reason = _guard_violation(to, assigned=assigned, on_hold=on_hold) or ""
    elif TRANSITIONS[current]:
        reason = f"A shipment that is {current} cannot become {to}."
    else:
        reason = f"A shipment that is {current} has reached its end."
    if current in _ENDED:
        reason += f" Where that is wrong, void the event that made it {current} (POST …/events/{{seq}}/void)."
    raise IllegalTransition(current, to, targets, reason)


def _guard_violation(to: str, *, assigned: bool, on_hold: bool) -> str | None:
    if to == "in_transit" and not assigned:
        return "Assign a driver before the shipment goes in transit."
    if on_hold and to in IN_CUSTODY:
        return "The shipment is on hold; clear the hold before custody moves."
    return None
