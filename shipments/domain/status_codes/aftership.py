"""AfterShip: the `tag` (delivery status), or the `subtag` that refines it (`Exception_010`).

A subtag that is not listed yet has the meaning of its tag.
"""

from typing import Final

from shipments.domain.status_codes.meaning import Meaning, states

CODES: Final = states(
    {
        "draft": {
            "Pending": "Pending",
            "Pending_001": "No information yet",
            "Pending_002": "Pending, waiting for the carrier",
            "Pending_003": "Pending, carrier not connected",
            "Pending_004": "Pending, tracking failed",
            "Pending_005": "Pending, carrier unknown",
            "Pending_006": "Pending, carrier not supported",
        },
        "booked": {"InfoReceived": "Information received", "InfoReceived_001": "Information received"},
        "in_transit": {
            "InTransit": "In transit",
            "InTransit_001": "On its way",
            "InTransit_002": "Acceptance scan",
            "InTransit_004": "Arrived in the destination country",
            "InTransit_006": "Customs clearance started",
            "InTransit_007": "Departure scan",
            "InTransit_009": "Forwarded to another address",
        },
        "at_facility": {"InTransit_003": "Arrival scan"},
        "out_for_delivery": {
            "OutForDelivery": "Out for delivery",
            "OutForDelivery_001": "Out for delivery",
            "OutForDelivery_003": "Customer contacted before delivery",
            "OutForDelivery_004": "Delivery appointment scheduled",
        },
        "delivery_attempted": {
            "AttemptFail": "Failed attempt",
            "AttemptFail_001": "Failed attempt",
            "AttemptFail_002": "Addressee not available",
            "AttemptFail_003": "Business closed",
        },
        "available_for_pickup": {
            "AvailableForPickup": "Available for pick-up",
            "AvailableForPickup_001": "Available for pick-up",
        },
        "delivered": {
            "Delivered": "Delivered; while returning, to the sender",
            "Delivered_001": "Delivered",
            "Delivered_002": "Picked up by the customer",
            "Delivered_003": "Signed for by the customer",
            "Delivered_004": "Delivered, cash collected",
            "Delivered_005": "Delivered to a neighbour",
        },
        "returning": {"Exception_010": "Returning to sender"},
        "returned": {"Exception_011": "Returned to sender"},
        "cancelled": {"Exception_020": "Cancelled"},
    }
) | {
    "InTransit_005": Meaning("Customs clearance completed", state="in_transit", clears_flag="customs_hold"),
    "InTransit_008": Meaning("Problem resolved", state="in_transit", clears_flag="exception"),
    "Exception": Meaning("Exception", opens_flag="exception"),
    "Exception_001": Meaning("Exception", opens_flag="exception"),
    "Exception_002": Meaning("Customer moved", opens_flag="address_issue"),
    "Exception_003": Meaning("Customer refused delivery", opens_flag="refused"),
    "Exception_004": Meaning("Delayed by customs clearance", opens_flag="customs_hold"),
    "Exception_005": Meaning("Delayed by external factors", opens_flag="delayed"),
    "Exception_006": Meaning("Held for payment", opens_flag="on_hold"),
    "Exception_007": Meaning("Incorrect address", opens_flag="address_issue"),
    "Exception_008": Meaning("Not collected by the customer", opens_flag="exception"),
    "Exception_009": Meaning("Rejected by the carrier", opens_flag="exception"),
    "Exception_012": Meaning("Damaged", opens_flag="damaged"),
    "Exception_013": Meaning("Lost: only people declare that", opens_flag="exception"),
    "Exception_016": Meaning("Delayed by a processing issue", opens_flag="delayed"),
    "Exception_017": Meaning("Delayed by extreme weather", opens_flag="delayed"),
    "Exception_018": Meaning("Incorrect or missing documents", opens_flag="customs_hold"),
    "Exception_019": Meaning("Delayed by a late flight", opens_flag="delayed"),
    "Exception_021": Meaning("Disposed of", opens_flag="exception"),
    "Expired": Meaning("No news for 30 days", opens_flag="exception"),
    "Expired_001": Meaning("No news for 30 days", opens_flag="exception"),
}
OUTBOUND: Final = {
    "draft": "Pending", "booked": "InfoReceived", "dispatched": "InfoReceived", "at_pickup": "InfoReceived",
    "in_transit": "InTransit", "at_facility": "InTransit", "out_for_delivery": "OutForDelivery",
    "at_delivery": "OutForDelivery", "delivery_attempted": "AttemptFail",
    "available_for_pickup": "AvailableForPickup", "partially_delivered": "InTransit",
    "delivered": "Delivered", "returning": "Exception", "returned": "Exception", "lost": "Exception",
}  # fmt: skip
