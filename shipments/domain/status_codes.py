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
    """The meaning of a code: a state, a flag that it opens or clears, or only an estimate (which moves the ETA).

    `state_elsewhere` is the state where the place is known to be another than the destination. `is_arrival`: as an
    estimate at the destination it is the delivery's. `is_appointment`: the time may be that of an appointment,
    which moves nothing before it is due. `delivered_after`: the code that must have been observed at the
    destination before; then this one says that the freight was delivered, and otherwise nothing about it.
    """

    state: str | None = None
    state_elsewhere: str | None = None
    opens_flag: str | None = None
    clears_flag: str | None = None
    is_estimate: bool = False
    is_arrival: bool = False
    is_appointment: bool = False
    delivered_after: str | None = None
    remark: str = ""

    @property
    def may_lie_ahead(self) -> bool:
        """Whether the time may lie in the future, also where the sender calls it actual."""
        return self.is_estimate or self.is_appointment


def _state_meanings(table: Mapping[str, str]) -> dict[str, Meaning]:
    return {code: Meaning(state=state) for state, codes in table.items() for code in codes.split()}


EDI_214: Final = _state_meanings(
    {
        "booked": "XB BF",
        "at_pickup": "X3 X8 L1",
        "in_transit": "AF CP AM P1 R1 BA RL",
        "at_facility": "X9 I1 J1",
        "out_for_delivery": "X6 AJ",
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
    "AA": Meaning(state="dispatched", is_appointment=True),  # AT7-03: pickup appointment
    "AB": Meaning(is_appointment=True, remark="delivery appointment"),  # AT7-03
    "X4": Meaning(state="at_facility", is_arrival=True),
    "AR": Meaning(state="at_facility", is_arrival=True),
    "OA": Meaning(state="out_for_delivery", state_elsewhere="in_transit"),
    "A7": Meaning(opens_flag="refused"),  # with any reason but those above
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
        "at_facility": "DISC GTIN/LADEN",
        "available_for_pickup": "AVPU",
        "delivered": "DROP STRP",
        "cancelled": "CANC",
    }
) | {
    "ARRI": Meaning(state="at_facility", is_arrival=True),
    "GTOT/LADEN": Meaning(state="out_for_delivery", state_elsewhere="in_transit"),
    "GTIN/EMPTY": Meaning(delivered_after="GTOT/LADEN"),
    "CUSS": Meaning(opens_flag="customs_hold"),
    "CUSI": Meaning(opens_flag="customs_hold"),
    "CUSR": Meaning(clears_flag="customs_hold"),
    "HOLD": Meaning(opens_flag="on_hold"),
    "RELS": Meaning(clears_flag="on_hold"),
}
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
) | {
    "Exception": Meaning(opens_flag="exception"),
    "Expired": Meaning(opens_flag="exception"),
}
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
    """Return the meaning of a code, None for one that is not in the system's table, or of an unknown system.

    A qualifier that the table does not name (`D1/NS`, an AT7-02 reason) leaves the meaning of the code before it.
    """
    table = CODE_SYSTEMS.get(system, {})
    return table.get(code) or table.get(code.partition("/")[0])


def meaning_of_state(state: str) -> Meaning:
    """Return the meaning of a state that is reported as such."""
    return Meaning(state=state, is_arrival=state == "at_facility")


# The codes that say that the freight was delivered, but only after another one.
CODES_AFTER_DELIVERY: Final = frozenset(
    code for table in CODE_SYSTEMS.values() for code, meaning in table.items() if meaning.delivered_after
)
