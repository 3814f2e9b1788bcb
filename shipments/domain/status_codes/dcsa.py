"""DCSA Track and Trace 2.2 and 3.0: event type codes of transport, equipment and shipment (documents).

An equipment event says whether the container is empty or laden (`emptyIndicatorCode`), behind a slash:
`GTOT/EMPTY`. A gate without it is not guessed: the empty container that goes back is no news of the cargo.
"""

from typing import Final

from shipments.domain.status_codes.meaning import Meaning, states

# Documents move no freight: booking requests, shipping instructions, bills of lading and their amendments.
_OF_DOCUMENTS: Final = {
    "DRFT": "Drafted", "PENA": "Pending approval", "PENC": "Pending confirmation", "PENM": "Pending amendment",
    "REJE": "Rejected", "APPR": "Approved", "ISSU": "Issued", "SURR": "Surrendered", "SUBM": "Submitted",
    "VOID": "Voided", "REQS": "Requested", "CMPL": "Completed", "DECL": "Declined",
    "PSAM": "Pending surrender for amendment", "PSDL": "Pending surrender for delivery",
    "SUAM": "Surrendered for amendment", "SUDL": "Surrendered for delivery", "AMCF": "Amendment confirmed",
    "AMCN": "Amendment cancelled", "AMDC": "Amendment declined", "AMPR": "Amendment in progress",
    "AMRE": "Amendment received", "CACF": "Cancellation confirmed", "CADC": "Cancellation declined",
    "CARE": "Cancellation received", "UPCF": "Update confirmed", "UPCN": "Update cancelled",
    "UPDC": "Update declined", "UPDT": "Update in progress", "UPRE": "Update received",
}  # fmt: skip
CODES: Final = (
    states(
        {
            "draft": {"RECE": "Received", "PENU": "Pending update"},
            "booked": {"CONF": "Confirmed"},
            "dispatched": {
                "GTOT/EMPTY": "Empty container gated out",
                "PICK": "Picked up",
                "DROP/EMPTY": "Empty container dropped off",
            },
            "at_pickup": {"STUF": "Stuffed"},
            "in_transit": {"LOAD": "Loaded", "DEPA": "Departed", "PICK/LADEN": "Laden container picked up"},
            "at_facility": {"DISC": "Discharged", "GTIN/LADEN": "Laden container gated in"},
            "available_for_pickup": {"AVPU": "Available for pick-up"},
            "delivered": {"DROP": "Dropped off", "STRP": "Stripped"},
            "cancelled": {"CANC": "Cancelled"},
        }
    )
    | {
        "ARRI": Meaning("Arrived", state="at_facility", is_arrival=True),
        "GTOT/LADEN": Meaning("Laden container gated out", state="out_for_delivery", state_elsewhere="in_transit"),
        "GTIN/EMPTY": Meaning("Empty container gated in", delivered_after="GTOT/LADEN"),
        "LOAD/EMPTY": Meaning("Empty container loaded"),
        "DISC/EMPTY": Meaning("Empty container discharged"),
        "AVDO": Meaning("Available for drop-off"),
        "CROS": Meaning("Crossed a border"),
        "INSP": Meaning("Seal inspected"),
        "RSEA": Meaning("Resealed"),
        "RMVD": Meaning("Seal removed"),
        "CUSS": Meaning("Customs selected for scan", opens_flag="customs_hold"),
        "CUSI": Meaning("Customs selected for inspection", opens_flag="customs_hold"),
        "CUSR": Meaning("Customs released", clears_flag="customs_hold"),
        "HOLD": Meaning("On hold", opens_flag="on_hold"),
        "RELS": Meaning("Released", clears_flag="on_hold"),
    }
    | {code: Meaning(text) for code, text in _OF_DOCUMENTS.items()}
)
OUTBOUND: Final = {
    "draft": "RECE", "booked": "CONF", "dispatched": "GTOT/EMPTY", "at_pickup": "STUF", "in_transit": "DEPA",
    "at_facility": "ARRI", "out_for_delivery": "GTOT/LADEN", "available_for_pickup": "AVPU",
    "delivered": "DROP", "cancelled": "CANC",
}  # fmt: skip
