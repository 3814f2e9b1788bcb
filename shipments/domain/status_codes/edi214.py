"""ASC X12 transaction set 214, segment AT7: status (AT7-01, element 1650) or appointment (AT7-03, element 1652).

A reason (AT7-02 or AT7-04, element 1651) stands behind a slash: `A7/BT`. One that the table does not name leaves
the meaning of the status. Several well-known implementations read X3 as arrived at the destination and X4 as
departed.
"""

from typing import Final

from shipments.domain.status_codes.meaning import Meaning, states

_ATTEMPTS: Final = {"AH": "Attempted delivery", "AP": "Delivery not completed"}
# What a reason says beside an attempt that failed.
_FLAGS_BY_REASON: Final = {"A2": "address_issue", "A5": "address_issue", "BS": "refused"}
# Element 1651.
REASONS: Final = {
    "A1": "Missed delivery", "A2": "Incorrect address", "A3": "Indirect delivery", "A5": "Unable to locate",
    "A6": "Address corrected, delivery attempted", "AA": "Mis-sort", "AD": "Customer requested future delivery",
    "AE": "Restricted articles unacceptable", "AF": "Accident", "AG": "Consignee related", "AH": "Driver related",
    "AI": "Mechanical breakdown", "AJ": "Other carrier related", "AK": "Damaged, rewrapped in hub",
    "AL": "Previous stop", "AM": "Shipper related", "AN": "Holiday, closed", "AO": "Weather or natural disaster",
    "AP": "Awaiting export", "AQ": "Recipient unavailable, delivery delayed",
    "AR": "Improper international paperwork", "AS": "Hold due to customs documentation problems",
    "AT": "Unable to contact recipient for broker information", "AU": "Civil event related delay",
    "AV": "Exceeds service limitations", "AW": "Past cut-off time", "AX": "Insufficient pick-up time",
    "AY": "Missed pick-up", "AZ": "Alternate carrier delivered", "B1": "Consignee closed",
    "B2": "Trap for customer", "B4": "Held for payment", "B5": "Held for consignee",
    "B8": "Improper unloading facility or equipment",
    "B9": "Receiving time restricted", "BB": "Held per shipper", "BC": "Missing documents",
    "BD": "Border clearance", "BE": "Road conditions", "BF": "Carrier keying error", "BG": "Other",
    "BH": "Insufficient time to complete delivery", "BI": "Cartage agent",
    "BJ": "Customer wanted earlier delivery", "BK": "Prearranged appointment", "BL": "Held for protective service",
    "BM": "Flatcar shortage", "BN": "Failed to release billing", "BO": "Railroad failed to meet schedule",
    "BP": "Load shifted", "BQ": "Shipment overweight", "BR": "Train derailment", "BS": "Refused by customer",
    "BT": "Returned to shipper", "C1": "Waiting for customer pick-up", "C2": "Credit hold",
    "C3": "Suspended at customer request", "C4": "Customer vacation", "C5": "Customer strike",
    "C6": "Waiting shipping instructions", "C7": "Waiting for customer specified carrier",
    "C8": "Collect on delivery required", "C9": "Cash not available from consignee", "CA": "Customs",
    "CB": "No requested arrival date provided by shipper", "CC": "No requested arrival time provided by shipper",
    "D1": "Carrier dispatch error", "D2": "Driver not available", "F1": "Non-express clearance delay",
    "F2": "International non-carrier delay", "HB": "Held pending appointment", "NA": "Normal appointment",
    "NS": "Normal status", "P1": "Processing delay", "P2": "Waiting inspection", "P3": "Production falldown",
    "P4": "Held for full carrier load", "RC": "Reconsigned", "S1": "Delivery shortage",
    "T1": "Tractor with sleeper car not available", "T2": "Tractor, conventional, not available",
    "T3": "Trailer not available", "T4": "Trailer not usable due to prior product",
    "T5": "Trailer class not available", "T6": "Trailer volume not available", "T7": "Insufficient delivery time",
}  # fmt: skip
CODES: Final = states(
    {
        "booked": {"XB": "Shipment acknowledged", "BF": "Shipment booked"},
        "at_pickup": {
            "X3": "Arrived at pick-up location",
            "X8": "Arrived at pick-up location, loading dock",
            "L1": "Loading",
        },
        "in_transit": {
            "AF": "Carrier departed pick-up location with shipment",
            "CP": "Completed loading at pick-up location",
            "AM": "Loaded on truck",
            "P1": "Departed terminal location",
            "R1": "Received from prior carrier",
            "BA": "Connecting line or cartage pick-up",
            "RL": "Rail departure from origin intermodal ramp",
        },
        "at_facility": {
            "X9": "Arrived at a terminal",
            "I1": "In-gate",
            "J1": "Delivered to connecting line",
            "BC": "Storage in transit",
        },
        "out_for_delivery": {"X6": "En route to delivery location", "AJ": "Tendered for delivery"},
        "at_delivery": {
            "X1": "Arrived at delivery location",
            "X5": "Arrived at delivery location, loading dock",
            "S1": "Trailer spotted at consignee's location",
        },
        "delivery_attempted": _ATTEMPTS,
        "available_for_pickup": {"AW": "Awaiting pick-up by consignee", "AV": "Available for delivery"},
        "partially_delivered": {"D2": "Partially delivered", "PA": "Partial delivery"},
        "delivered": {
            "D1": "Completed unloading at delivery location",
            "CD": "Carrier departed delivery location",
            "CB": "Delivery completed",
        },
        "returning": {"A7/BS": "Refused by customer", "A7/BT": "Refused, returned to shipper"},
        "returned": {"A3": "Shipment returned to shipper"},
        "cancelled": {"CA": "Shipment cancelled"},
    }
) | {
    "X4": Meaning("Arrived at terminal location", state="at_facility", is_arrival=True),
    "AR": Meaning("Rail arrival at destination intermodal ramp", state="at_facility", is_arrival=True),
    "OA": Meaning("Out-gate", state="out_for_delivery", state_elsewhere="in_transit"),
    "A7": Meaning("Refused by consignee, with any other reason", opens_flag="refused"),
    "SD": Meaning("Shipment delayed", opens_flag="delayed"),
    "A9": Meaning("Shipment damaged", opens_flag="damaged"),
    "K1": Meaning("Arrived at customs", opens_flag="customs_hold"),
    "PR": Meaning("Customs hold at in-bond location", opens_flag="customs_hold"),
    "K2": Meaning("Released by customs", clears_flag="customs_hold"),
    "RH": Meaning("Released from customs hold", clears_flag="customs_hold"),
    "AG": Meaning("Estimated delivery", is_estimate=True),
    "X2": Meaning("Estimated arrival at consignee's location", is_estimate=True),
    "B6": Meaning("Estimated to arrive at carrier terminal", is_estimate=True),
    "C1": Meaning("Estimated to depart terminal location", is_estimate=True),
    "AI": Meaning("Shipment has been reconsigned"),
    "PU": Meaning("Pick-up failed"),
    "SN": Meaning("Pick-up failed, shipment not ready"),
    "AN": Meaning("Diverted to air carrier"),
    "CL": Meaning("Trailer closed out"),
    "OO": Meaning("Paperwork received without shipment or equipment"),
    # AT7-03
    "AA": Meaning("Pick-up appointment", state="dispatched", is_appointment=True),
    "AB": Meaning("Delivery appointment", is_appointment=True),
    "AC": Meaning("Estimated delivery appointment", is_appointment=True),
    "ED": Meaning("Deliver no earlier than", is_appointment=True),
    "EP": Meaning("Pick up no earlier than", is_appointment=True),
    "LD": Meaning("Deliver no later than", is_appointment=True),
    "LP": Meaning("Pick up no later than", is_appointment=True),
    "XA": Meaning("Pick-up appointment secured", is_appointment=True),
} | {
    f"{code}/{reason}": Meaning(f"{text}: {REASONS[reason]}", state="delivery_attempted", opens_flag=flag)
    for code, text in _ATTEMPTS.items()
    for reason, flag in _FLAGS_BY_REASON.items()
}  # fmt: skip
OUTBOUND: Final = {
    "booked": "XB", "dispatched": "AA", "at_pickup": "X3", "in_transit": "AF", "at_facility": "X4",
    "out_for_delivery": "X6", "at_delivery": "X1", "delivery_attempted": "AH", "available_for_pickup": "AW",
    "partially_delivered": "D2", "delivered": "D1", "returning": "A7/BT", "returned": "A3", "cancelled": "CA",
    "lost": "AP",
}  # fmt: skip
