"""Shippo tracks: `status`, and behind a slash the code of its `substatus` (`TRANSIT/package_arrived`)."""

from typing import Final

from shipments.domain.status_codes.meaning import Meaning, states

CODES: Final = states(
    {
        "draft": {"UNKNOWN": "Unknown", "UNKNOWN/other": "Unrecognised by Shippo"},
        "booked": {
            "PRE_TRANSIT": "The carrier has the label, not the parcel",
            "PRE_TRANSIT/information_received": "Information received",
        },
        "in_transit": {
            "TRANSIT": "On its way",
            "TRANSIT/delivery_rescheduled": "Delivery rescheduled",
            "TRANSIT/delivery_scheduled": "Delivery scheduled",
            "TRANSIT/package_accepted": "Accepted",
            "TRANSIT/package_departed": "Departed from a facility",
            "TRANSIT/package_forwarded": "Forwarded",
        },
        "at_facility": {
            "TRANSIT/package_arrived": "Arrived at a facility",
            "TRANSIT/package_processed": "Processed at a facility",
            "TRANSIT/package_processing": "Processing at a facility",
        },
        "out_for_delivery": {"TRANSIT/out_for_delivery": "Out for delivery"},
        "delivery_attempted": {
            "TRANSIT/delivery_attempted": "Delivery attempted",
            "TRANSIT/location_inaccessible": "The carrier could not get there",
            "TRANSIT/notice_left": "Notice left",
            "TRANSIT/reschedule_delivery": "The delivery is to be rescheduled",
            "FAILURE": "Delivery failed",
        },
        "available_for_pickup": {"TRANSIT/pickup_available": "Available for pick-up"},
        "delivered": {
            "DELIVERED": "Delivered; while returning, to the sender",
            "DELIVERED/delivered": "Delivered",
        },
        "returning": {
            "RETURNED": "On its way back",
            "RETURNED/return_to_sender": "To be returned to sender",
            "RETURNED/package_unclaimed": "Unclaimed",
        },
    }
) | {
    "TRANSIT/address_issue": Meaning("Incorrect address", state="in_transit", opens_flag="address_issue"),
    "TRANSIT/contact_carrier": Meaning("Contact the carrier", state="in_transit", opens_flag="exception"),
    "TRANSIT/delayed": Meaning("Delayed", state="in_transit", opens_flag="delayed"),
    "TRANSIT/package_damaged": Meaning("Damaged", state="in_transit", opens_flag="damaged"),
    "TRANSIT/package_held": Meaning("Held at a facility", state="at_facility", opens_flag="exception"),
    "FAILURE/package_undeliverable": Meaning(
        "Cannot be delivered", state="delivery_attempted", opens_flag="exception"
    ),
    "FAILURE/package_disposed": Meaning("Disposed of", opens_flag="exception"),
    "FAILURE/package_lost": Meaning("Lost: only people declare that", opens_flag="exception"),
}
OUTBOUND: Final = {
    "draft": "UNKNOWN", "booked": "PRE_TRANSIT", "dispatched": "PRE_TRANSIT", "at_pickup": "PRE_TRANSIT",
    "in_transit": "TRANSIT", "at_facility": "TRANSIT/package_arrived",
    "out_for_delivery": "TRANSIT/out_for_delivery", "at_delivery": "TRANSIT/out_for_delivery",
    "delivery_attempted": "TRANSIT/delivery_attempted", "available_for_pickup": "TRANSIT/pickup_available",
    "partially_delivered": "TRANSIT", "delivered": "DELIVERED", "returning": "RETURNED", "returned": "RETURNED",
    "lost": "FAILURE/package_lost",
}  # fmt: skip
