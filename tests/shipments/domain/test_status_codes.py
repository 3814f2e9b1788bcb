"""Carriers' codes: the whole list that is supported, and the codes that are sent to others."""

import pytest

from shipments.domain.lifecycle import FLAGS, STATES
from shipments.domain.status_codes import CODE_SYSTEMS, OUTBOUND_CODES, ROUND_TRIP_STATES, Meaning, translate

# The whole AT7-01 list written down a second time, on purpose: other implementations mistake X3 and X4.
AT7 = {
    "XB": "booked", "BF": "booked", "AA": "dispatched",
    "X3": "at_pickup", "X8": "at_pickup", "L1": "at_pickup",
    "AF": "in_transit", "CP": "in_transit", "AM": "in_transit", "P1": "in_transit", "R1": "in_transit",
    "BA": "in_transit", "RL": "in_transit",
    "X4": "at_facility", "X9": "at_facility", "I1": "at_facility", "J1": "at_facility", "AR": "at_facility",
    "X6": "out_for_delivery", "AJ": "out_for_delivery", "OA": "out_for_delivery",
    "X1": "at_delivery", "X5": "at_delivery", "S1": "at_delivery",
    "AH": "delivery_attempted", "AP": "delivery_attempted",
    "AW": "available_for_pickup", "AV": "available_for_pickup",
    "D2": "partially_delivered", "PA": "partially_delivered",
    "D1": "delivered", "CD": "delivered", "CB": "delivered",
    "AB": "delivery appointment", "A7": "+refused",
    "A7/BS": "returning", "A7/BT": "returning", "A3": "returned", "CA": "cancelled",
    "SD": "+delayed", "A9": "+damaged", "K1": "+customs_hold", "PR": "+customs_hold",
    "K2": "-customs_hold", "RH": "-customs_hold", "AI": "reconsigned", "PU": "pickup failed", "SN": "pickup failed",
    "AG": "estimate", "X2": "estimate", "B6": "estimate", "C1": "estimate",
}  # fmt: skip


def describe(meaning: Meaning) -> str:
    return (
        meaning.state
        or (meaning.opens_flag and f"+{meaning.opens_flag}")
        or (meaning.clears_flag and f"-{meaning.clears_flag}")
        or ("estimate" if meaning.is_estimate else meaning.remark)
    )


def test_the_214_table_is_the_whole_list() -> None:
    assert {code: describe(meaning) for code, meaning in CODE_SYSTEMS["edi214"].items()} == AT7


@pytest.mark.parametrize("system", CODE_SYSTEMS)
def test_every_meaning_is_a_known_state_or_flag(system: str) -> None:
    for meaning in CODE_SYSTEMS[system].values():
        assert meaning.state in {None, *STATES}
        assert {meaning.opens_flag, meaning.clears_flag} <= {None, *FLAGS}


@pytest.mark.parametrize(
    ("system", "state"), [(s, state) for s in ROUND_TRIP_STATES for state in sorted(ROUND_TRIP_STATES[s])]
)
def test_a_round_trip_state_translates_back_to_itself(system: str, state: str) -> None:
    meaning = translate(system, OUTBOUND_CODES[system][state])

    assert meaning is not None
    assert meaning.state == state


def test_the_other_states_are_known() -> None:
    coarse = {"dispatched", "at_pickup", "at_facility", "at_delivery", "partially_delivered", "returned", "lost"}

    lossy = {system: set(OUTBOUND_CODES[system]) - ROUND_TRIP_STATES[system] for system in OUTBOUND_CODES}

    assert lossy == {
        "edi214": {"lost"},
        "dcsa": set(),
        "easypost": coarse,
        "aftership": coarse | {"returning"},
    }


UNKNOWN = [
    ("edi214", "ZZ"), ("edi214", "x3"), ("dcsa", "GTOT"), ("dcsa", "GTIN"), ("dcsa", "GTIN/FULL"),
    ("morse", "X3"),
]  # fmt: skip


@pytest.mark.parametrize(("system", "code"), UNKNOWN)
def test_an_unknown_code_is_not_guessed(system: str, code: str) -> None:
    assert translate(system, code) is None


@pytest.mark.parametrize(
    ("system", "code", "same_as"),
    [
        ("edi214", "D1/NS", "D1"),
        ("edi214", "A7/A2", "A7"),
        ("edi214", "A7", "A7"),
        ("easypost", "failure/new", "failure"),
    ],
)
def test_a_qualifier_that_is_not_in_the_table_leaves_the_meaning_of_the_code(
    system: str, code: str, same_as: str
) -> None:
    assert translate(system, code) == CODE_SYSTEMS[system][same_as]
