"""EasyPost trackers: `status`, and behind a slash `status_detail` (`in_transit/arrived_at_facility`)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from shipments.domain.status_codes.meaning import Meaning, states

STATUSES: Final = states(
    {
        "draft": {"unknown": "Unknown"},
        "booked": {"pre_transit": "The carrier has the label, not the parcel"},
        "in_transit": {"in_transit": "On its way"},
        "out_for_delivery": {"out_for_delivery": "Out for delivery"},
        "delivery_attempted": {"failure": "Delivery failed"},
        "available_for_pickup": {"available_for_pickup": "Available for pick-up"},
        "delivered": {"delivered": "Delivered; while returning, to the sender"},
        "returning": {"return_to_sender": "On its way back"},
        "cancelled": {"cancelled": "Cancelled"},
    }
) | {"error": Meaning("The tracker failed")}
# A detail refines `in_transit` to a state, and opens its flag beside any status; the others change nothing.
DETAILS: Final = {
    "address_correction": Meaning("Address corrected", opens_flag="address_issue"),
    "arrived_at_destination": Meaning("Arrived at the destination", state="at_facility"),
    "arrived_at_facility": Meaning("Arrived at a facility", state="at_facility"),
    "arrived_at_pickup_location": Meaning("Arrived where it is collected", state="available_for_pickup"),
    "awaiting_information": Meaning("Awaiting information"),
    "cancelled": Meaning("Cancelled"),
    "damaged": Meaning("Damaged", opens_flag="damaged"),
    "delayed": Meaning("Delayed", opens_flag="delayed"),
    "delivery_exception": Meaning("Exception at delivery", opens_flag="exception"),
    "departed_facility": Meaning("Departed from a facility", state="in_transit"),
    "departed_origin_facility": Meaning("Departed from the first facility", state="in_transit"),
    "expired": Meaning("Expired", opens_flag="exception"),
    "failure": Meaning("Failure"),
    "held": Meaning("Held", opens_flag="exception"),
    "in_transit": Meaning("On its way", state="in_transit"),
    "label_created": Meaning("Label created"),
    "lost": Meaning("Lost: only people declare that", opens_flag="exception"),
    "missorted": Meaning("Missorted", opens_flag="exception"),
    "out_for_delivery": Meaning("Out for delivery", state="out_for_delivery"),
    "received_at_destination_facility": Meaning("Received at the last facility", state="at_facility"),
    "received_at_origin_facility": Meaning("Received at the first facility", state="at_facility"),
    "refused": Meaning("Refused", opens_flag="refused"),
    "return": Meaning("On its way back", state="returning"),
    "status_update": Meaning("Status update"),
    "transferred_to_destination_carrier": Meaning("Transferred to the last carrier", state="in_transit"),
    "transit_exception": Meaning("Exception on the way", opens_flag="exception"),
    "unknown": Meaning("Unknown"),
    "weather_delay": Meaning("Delayed by weather", opens_flag="delayed"),
}


def _refined() -> Iterator[tuple[str, Meaning]]:
    for status, meaning in STATUSES.items():
        for detail, refinement in DETAILS.items():
            state = refinement.state if status == "in_transit" and refinement.state else meaning.state
            # A parcel that is lost was not tried to be delivered.
            state = None if (status, detail) == ("failure", "lost") else state
            text = f"{meaning.text}: {refinement.text}"
            yield f"{status}/{detail}", replace(refinement, text=text, state=state)


CODES: Final = STATUSES | dict(_refined())
OUTBOUND: Final = {
    "draft": "unknown", "booked": "pre_transit", "dispatched": "pre_transit", "at_pickup": "pre_transit",
    "in_transit": "in_transit", "at_facility": "in_transit", "out_for_delivery": "out_for_delivery",
    "at_delivery": "out_for_delivery", "delivery_attempted": "failure",
    "available_for_pickup": "available_for_pickup", "partially_delivered": "in_transit",
    "delivered": "delivered", "returning": "return_to_sender", "returned": "return_to_sender",
    "cancelled": "cancelled", "lost": "failure",
}  # fmt: skip
