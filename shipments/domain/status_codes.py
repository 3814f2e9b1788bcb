"""Carriers' status codes and their meaning here, as declared tables. An unknown code is never guessed.

Sources: ASC X12 transaction set 214, segment AT7 (AT7-01 shipment status, AT7-02 reason, AT7-03 appointment);
DCSA Track and Trace event codes; EasyPost tracker statuses; AfterShip delivery statuses (`tag`).
A code that needs its qualifier is written with a slash: `A7/BS` (AT7-01/AT7-02), `GTOT/EMPTY` (DCSA gate out
of an empty container).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a code: a state, a flag that it opens or clears, or only an estimate (which moves the ETA)."""

    state: str | None = None
    opens_flag: str | None = None
    clears_flag: str | None = None
    is_estimate: bool = False
    remark: str = ""


def _state_meanings(table: Mapping[str, str]) -> dict[str, Meaning]:
    return {code: Meaning(state=state) for state, codes in table.items() for code in codes.split()}


EDI_214: Final = _state_meanings(
    {
        "booked": "XB BF",
        "dispatched": "AA",  # AT7-03: pickup appointment
        "at_pickup": "X3 X8 L1",
        "in_transit": "AF CP AM P1 R1 BA RL",
        "at_facility": "X4 X9 I1 J1 AR",
        "out_for_delivery": "X6 AJ OA",
        "at_delivery": "X1 X5 S1",
        "delivery_attempted": "AH AP",
        "available_for_pickup": "AW AV",
        "partially_delivered": "D2 PA",
        "delivered": "D1 CD CB",
        "returning": "A7/BS A7/BT",
        "returned": "A3",
        "cancelled": "CA",
    }
) | {
    "SD": Meaning(opens_flag="delayed"),
    "A9": Meaning(opens_flag="damaged"),
    "K1": Meaning(opens_flag="customs_hold"),
    "PR": Meaning(opens_flag="customs_hold"),
    "K2": Meaning(clears_flag="customs_hold"),
    "RH": Meaning(clears_flag="customs_hold"),
    "AI": Meaning(remark="reconsigned"),
    "PU": Meaning(remark="pickup failed"),
    "SN": Meaning(remark="pickup failed"),
    "AG": Meaning(is_estimate=True),
    "X2": Meaning(is_estimate=True),
    "B6": Meaning(is_estimate=True),
    "C1": Meaning(is_estimate=True),
}
DCSA: Final = _state_meanings(
    {
        "draft": "RECE PENU",
        "booked": "CONF",
        "dispatched": "GTOT/EMPTY PICK",
        "at_pickup": "STUF",
        "in_transit": "LOAD DEPA",
        "at_facility": "ARRI DISC GTIN",
        "out_for_delivery": "GTOT/LADEN",
        "available_for_pickup": "AVPU",
        "delivered": "DROP STRP",
        "cancelled": "CANC",
    }
)
EASYPOST: Final = _state_meanings(
    {
        "draft": "unknown",
        "booked": "pre_transit",
        "in_transit": "in_transit",
        "out_for_delivery": "out_for_delivery",
        "delivery_attempted": "failure",
        "available_for_pickup": "available_for_pickup",
        "delivered": "delivered",
        "returning": "return_to_sender",
        "cancelled": "cancelled",
    }
)
AFTERSHIP: Final = _state_meanings(
    {
        "draft": "Pending",
        "booked": "InfoReceived",
        "in_transit": "InTransit",
        "out_for_delivery": "OutForDelivery",
        "delivery_attempted": "AttemptFail",
        "available_for_pickup": "AvailableForPickup",
        "delivered": "Delivered",
    }
)
CODE_SYSTEMS: Final[Mapping[str, Mapping[str, Meaning]]] = {
    "edi214": EDI_214,
    "dcsa": DCSA,
    "easypost": EASYPOST,
    "aftership": AFTERSHIP,
}

# The one code in which each state is reported to others. The states in ROUND_TRIP_STATES translate back to
# themselves, the others to a coarser state; a state without a code cannot be reported in that system.
OUTBOUND_CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "edi214": {
        "booked": "XB", "dispatched": "AA", "at_pickup": "X3", "in_transit": "AF", "at_facility": "X4",
        "out_for_delivery": "X6", "at_delivery": "X1", "delivery_attempted": "AH", "available_for_pickup": "AW",
        "partially_delivered": "D2", "delivered": "D1", "returning": "A7/BT", "returned": "A3", "cancelled": "CA",
        "lost": "AP",
    },
    "dcsa": {
        "draft": "RECE", "booked": "CONF", "dispatched": "GTOT/EMPTY", "at_pickup": "STUF", "in_transit": "DEPA",
        "at_facility": "ARRI", "out_for_delivery": "GTOT/LADEN", "available_for_pickup": "AVPU",
        "delivered": "DROP", "cancelled": "CANC",
    },
    "easypost": {
        "draft": "unknown", "booked": "pre_transit", "dispatched": "pre_transit", "at_pickup": "pre_transit",
        "in_transit": "in_transit", "at_facility": "in_transit", "out_for_delivery": "out_for_delivery",
        "at_delivery": "out_for_delivery", "delivery_attempted": "failure",
        "available_for_pickup": "available_for_pickup", "partially_delivered": "in_transit",
        "delivered": "delivered", "returning": "return_to_sender", "returned": "return_to_sender",
        "cancelled": "cancelled", "lost": "failure",
    },
    "aftership": {
        "draft": "Pending", "booked": "InfoReceived", "dispatched": "InfoReceived", "at_pickup": "InfoReceived",
        "in_transit": "InTransit", "at_facility": "InTransit", "out_for_delivery": "OutForDelivery",
        "at_delivery": "OutForDelivery", "delivery_attempted": "AttemptFail",
        "available_for_pickup": "AvailableForPickup", "partially_delivered": "InTransit",
        "delivered": "Delivered", "returning": "Exception", "returned": "Exception", "lost": "Exception",
    },
}  # fmt: skip
ROUND_TRIP_STATES: Final[Mapping[str, frozenset[str]]] = {
    system: frozenset(
        state
        for state, code in codes.items()
        if (meaning := CODE_SYSTEMS[system].get(code)) is not None and meaning.state == state
    )
    for system, codes in OUTBOUND_CODES.items()
}


def translate(system: str, code: str) -> Meaning | None:
    """Return the meaning of a code, None for one that is not in the system's table, or of an unknown system."""
    return CODE_SYSTEMS.get(system, {}).get(code)
