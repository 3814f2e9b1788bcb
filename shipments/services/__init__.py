"""The use cases: the only writers. Keyword-only, time is a parameter, each one transaction."""

from shipments.services.bookings import DuplicateReference, book, book_all
from shipments.services.customers import CustomerInUse, CustomerNotFound
from shipments.services.denials import note_denial
from shipments.services.device_keys import DeviceKeyNotFound
from shipments.services.drivers import DriverNotFound
from shipments.services.feed import FeedNotFound
from shipments.services.fixes import Fix, Implausible
from shipments.services.flags import clear_flag, open_flag
from shipments.services.ingest import Ingested, record_positions
from shipments.services.links import LinkNotFound
from shipments.services.observations import CheckpointNotFound, Observation, observe, void
from shipments.services.places import UnknownPlace, resolve_place
from shipments.services.positions import Recorded, record_position
from shipments.services.proofs import prove
from shipments.services.rows import ShipmentNotFound, StaleWrite
from shipments.services.shipments import Invalid, NotADraft, advance, amend, discard

__all__ = [
    "CheckpointNotFound",
    "CustomerInUse",
    "CustomerNotFound",
    "DeviceKeyNotFound",
    "DriverNotFound",
    "DuplicateReference",
    "FeedNotFound",
    "Fix",
    "Implausible",
    "Ingested",
    "Invalid",
    "LinkNotFound",
    "NotADraft",
    "Observation",
    "Recorded",
    "ShipmentNotFound",
    "StaleWrite",
    "UnknownPlace",
    "advance",
    "amend",
    "book",
    "book_all",
    "clear_flag",
    "discard",
    "note_denial",
    "observe",
    "open_flag",
    "prove",
    "record_position",
    "record_positions",
    "resolve_place",
    "void",
]
