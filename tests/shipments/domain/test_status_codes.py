"""Carriers' codes: the whole lists that are supported, and the codes that are sent to others."""

import pytest

from shipments.domain.lifecycle import FLAGS, STATES
from shipments.domain.status_codes import (
    CODE_SYSTEMS,
    OUTBOUND_CODES,
    ROUND_TRIP_STATES,
    Meaning,
    edi214,
    translate,
)
from tests.shipments.domain import carrier_codes

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
    "A7": "+refused",
    "A7/BS": "returning", "A7/BT": "returning", "A3": "returned", "CA": "cancelled",
    "SD": "+delayed", "A9": "+damaged", "K1": "+customs_hold", "PR": "+customs_hold",
    "K2": "-customs_hold", "RH": "-customs_hold", "AI": "", "PU": "", "SN": "",
    "AG": "estimate", "X2": "estimate", "B6": "estimate", "C1": "estimate",
}  # fmt: skip


def describe(meaning: Meaning) -> str:
    return (
        meaning.state
        or (meaning.opens_flag and f"+{meaning.opens_flag}")
        or (meaning.clears_flag and f"-{meaning.clears_flag}")
        or ("estimate" if meaning.is_estimate else "")
    )


def test_the_214_table_says_what_the_lifecycle_says() -> None:
    table = CODE_SYSTEMS["edi214"]

    assert {code: describe(table[code]) for code in AT7} == AT7


# Each list as its publisher prints it: X12 004010 (elements 1650, 1651, 1652), DCSA Track and Trace 2.2 and 3.0,
# EasyPost's status and status_detail, AfterShip's tag and subtag, Shippo's status and substatus.
X12_1650 = """
A3 A7 A9 AF AG AH AI AJ AM AN AP AR AV B6 BA BC C1 CA CD CL CP D1 I1 J1 K1 L1 OA OO P1 PR R1 RL S1 SD X1 X2 X3 X4 X5
X6 X8 XB"""
X12_1651 = """
A1 A2 A3 A5 A6 AA AD AE AF AG AH AI AJ AK AL AM AN AO AP AQ AR AS AT AU AV AW AX AY AZ B1 B2 B4 B5 B8 B9 BB BC BD BE
BF BG BH BI BJ BK BL BM BN BO BP BQ BR BS BT C1 C2 C3 C4 C5 C6 C7 C8 C9 CA CB CC D1 D2 F1 F2 HB NA NS P1 P2 P3 P4 RC
S1 T1 T2 T3 T4 T5 T6 T7"""
X12_1652 = "AA AB AC ED EP LD LP X9 XA"
DCSA_2_2 = """
ARRI DEPA LOAD DISC GTIN/EMPTY GTIN/LADEN GTOT/EMPTY GTOT/LADEN STUF STRP PICK DROP INSP RSEA RMVD AVPU AVDO CUSS
CUSI CUSR RECE DRFT PENA PENU PENC REJE APPR ISSU SURR SUBM VOID CONF REQS CMPL HOLD RELS CANC DECL"""
DCSA_3_0 = """
ARRI DEPA AVDO AVPU CROS CUSI CUSR CUSS DISC DROP GTIN/EMPTY GTIN/LADEN GTOT/EMPTY GTOT/LADEN INSP LOAD PICK RMVD
RSEA STRP STUF AMCF AMCN AMDC AMPR AMRE APPR CACF CADC CARE CMPL CONF DECL DRFT HOLD ISSU PENA PENM PENU PSAM PSDL
RECE REJE RELS REQS SUAM SUBM SUDL SURR UPCF UPCN UPDC UPDT UPRE VOID"""
EASYPOST_STATUS = """
unknown pre_transit in_transit out_for_delivery delivered available_for_pickup return_to_sender failure cancelled
error"""
EASYPOST_DETAIL = """
address_correction arrived_at_destination arrived_at_facility arrived_at_pickup_location awaiting_information
cancelled damaged delayed delivery_exception departed_facility departed_origin_facility expired failure held
in_transit label_created lost missorted out_for_delivery received_at_destination_facility
received_at_origin_facility refused return status_update transferred_to_destination_carrier transit_exception
unknown weather_delay"""
AFTERSHIP = """
Pending InfoReceived InTransit OutForDelivery AttemptFail Delivered AvailableForPickup Exception Expired Pending_001
Pending_002 Pending_003 Pending_004 Pending_005 Pending_006 InfoReceived_001 InTransit_001 InTransit_002
InTransit_003 InTransit_004 InTransit_005 InTransit_006 InTransit_007 InTransit_008 InTransit_009 OutForDelivery_001
OutForDelivery_003 OutForDelivery_004 AttemptFail_001 AttemptFail_002 AttemptFail_003 AvailableForPickup_001
Delivered_001 Delivered_002 Delivered_003 Delivered_004 Delivered_005 Exception_001 Exception_002 Exception_003
Exception_004 Exception_005 Exception_006 Exception_007 Exception_008 Exception_009 Exception_010 Exception_011
Exception_012 Exception_013 Exception_016 Exception_017 Exception_018 Exception_019 Exception_020 Exception_021
Expired_001"""
SHIPPO = """
UNKNOWN PRE_TRANSIT TRANSIT DELIVERED RETURNED FAILURE UNKNOWN/other PRE_TRANSIT/information_received
TRANSIT/address_issue TRANSIT/contact_carrier TRANSIT/delayed TRANSIT/delivery_attempted
TRANSIT/delivery_rescheduled TRANSIT/delivery_scheduled TRANSIT/location_inaccessible TRANSIT/notice_left
TRANSIT/out_for_delivery
TRANSIT/package_accepted TRANSIT/package_arrived TRANSIT/package_damaged TRANSIT/package_departed
TRANSIT/package_forwarded TRANSIT/package_held TRANSIT/package_processed TRANSIT/package_processing
TRANSIT/pickup_available TRANSIT/reschedule_delivery DELIVERED/delivered RETURNED/return_to_sender
RETURNED/package_unclaimed FAILURE/package_undeliverable FAILURE/package_disposed FAILURE/package_lost"""


@pytest.mark.parametrize(
    ("system", "codes"),
    [
        ("edi214", X12_1650),
        ("edi214", X12_1652),
        ("dcsa", DCSA_2_2),
        ("dcsa", DCSA_3_0),
        ("easypost", EASYPOST_STATUS),
        ("aftership", AFTERSHIP),
        ("shippo", SHIPPO),
    ],
)
def test_the_table_covers_the_whole_list(system: str, codes: str) -> None:
    assert set(codes.split()) - CODE_SYSTEMS[system].keys() == set()
    assert all(CODE_SYSTEMS[system][code].text for code in codes.split())


def test_every_reason_of_the_214_is_known_and_goes_with_every_status() -> None:
    assert set(edi214.REASONS) == set(X12_1651.split())
    assert all(translate("edi214", f"D1/{reason}") == CODE_SYSTEMS["edi214"]["D1"] for reason in edi214.REASONS)


def test_every_detail_of_easypost_goes_with_every_status() -> None:
    table = CODE_SYSTEMS["easypost"]

    assert {f"{s}/{d}" for s in EASYPOST_STATUS.split() for d in EASYPOST_DETAIL.split()} <= table.keys()


def test_the_document_equals_the_tables() -> None:
    assert carrier_codes.PAGE.read_text(encoding="utf-8") == carrier_codes.page()


@pytest.mark.parametrize(
    ("system", "code", "said"),
    [
        ("edi214", "A7/BS", "returning"),
        ("edi214", "A7/BT", "returning"),
        ("edi214", "A7/B1", "+refused"),
        ("edi214", "AH/A2", "delivery_attempted +address_issue"),
        ("edi214", "AP/BS", "delivery_attempted +refused"),
        ("edi214", "AP/B1", "delivery_attempted"),
        ("dcsa", "PICK/LADEN", "in_transit"),
        ("dcsa", "DROP/LADEN", "delivered"),
        ("dcsa", "DROP/EMPTY", "dispatched"),
        ("dcsa", "LOAD/EMPTY", ""),
        ("dcsa", "LOAD/LADEN", "in_transit"),
        ("dcsa", "DISC/EMPTY", ""),
        ("dcsa", "STRP/EMPTY", "delivered"),
        ("easypost", "in_transit/arrived_at_facility", "at_facility"),
        ("easypost", "in_transit/departed_facility", "in_transit"),
        ("easypost", "delivered/arrived_at_destination", "delivered"),
        ("easypost", "in_transit/return", "returning"),
        ("easypost", "in_transit/weather_delay", "in_transit +delayed"),
        ("easypost", "failure/refused", "delivery_attempted +refused"),
        ("easypost", "failure/lost", "+exception"),
        ("aftership", "Exception_010", "returning"),
        ("aftership", "Exception/Exception_011", "returned"),
        ("aftership", "Exception_099", "+exception"),
        ("aftership", "Exception", "+exception"),
        ("aftership", "Expired_001", "+exception"),
        ("aftership", "InTransit_005", "in_transit -customs_hold"),
        ("aftership", "Delivered_099", "delivered"),
        ("shippo", "TRANSIT/package_arrived", "at_facility"),
        ("shippo", "TRANSIT/brand_new", "in_transit"),
        ("shippo", "RETURNED/package_unclaimed", "returning"),
        ("shippo", "FAILURE/package_lost", "+exception"),
    ],
)
def test_a_qualifier_decides(system: str, code: str, said: str) -> None:
    meaning = translate(system, code)

    assert meaning is not None
    flags = [f"+{meaning.opens_flag}"] * bool(meaning.opens_flag) + [f"-{meaning.clears_flag}"] * bool(
        meaning.clears_flag
    )
    assert " ".join([meaning.state or "", *flags]).strip() == said


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
        "shippo": coarse - {"at_facility"},
    }


UNKNOWN = [
    ("edi214", "ZZ"), ("edi214", "x3"), ("dcsa", "GTOT"), ("dcsa", "GTIN"), ("dcsa", "GTIN/FULL"),
    ("morse", "X3"), ("aftership", "Nothing_001"), ("shippo", "transit"),
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
