"""The use cases: the only writers. Keyword-only, time is a parameter, each one transaction."""

from shipments.services.bookings import DuplicateReference, book, book_all
from shipments.services.customers import CustomerInUse, CustomerNotFound
from shipments.services.denials import record_denial
from shipments.services.device_keys import DeviceKeyNotFound
from shipments.services.drivers import DriverNotFound
from shipments.services.feed import FeedNotFound
from shipments.services.fixes import Fix, Implausible
from shipments.services.flags import clear_flag, open_flag
from shipments.services.ingest import BatchResult, record_positions
from shipments.services.links import LinkNotFound
from shipments.services.observations import CheckpointNotFound, Observation, observe, void_checkpoint
from shipments.services.places import UnknownPlace, resolve_place
from shipments.services.positions import PositionResult, record_position
from shipments.services.proofs import record_proof_of_delivery
from shipments.services.rows import ShipmentNotFound, StaleWrite
from shipments.services.shipments import InvalidArgument, NotADraft, advance, amend, discard

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
    "BatchResult",
    "InvalidArgument",
    "LinkNotFound",
    "NotADraft",
    "Observation",
    "PositionResult",
    "ShipmentNotFound",
    "StaleWrite",
    "UnknownPlace",
    "advance",
    "amend",
    "book",
    "book_all",
    "clear_flag",
    "discard",
    "record_denial",
    "observe",
    "open_flag",
    "record_proof_of_delivery",
    "record_position",
    "record_positions",
    "resolve_place",
    "void_checkpoint",
]
