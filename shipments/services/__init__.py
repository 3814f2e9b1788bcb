"""The use cases, one function each and the only code that writes: keyword-only, time is a parameter.

Each is one transaction, or a savepoint of the caller's. Every change of a shipment goes through `write`.
"""

from shipments.services.accounts.customers import CustomerInUse, CustomerNotFound
from shipments.services.accounts.denials import record_denial
from shipments.services.feed.sequencer import FeedNotFound
from shipments.services.fleet.device_keys import DeviceKeyNotFound
from shipments.services.fleet.drivers import DriverNotFound
from shipments.services.fleet.plausibility import Fix, Implausible
from shipments.services.fleet.position_batches import BatchResult, record_positions
from shipments.services.fleet.positions import PositionResult, record_position, require_reporter
from shipments.services.observations.histories import HistoryCache
from shipments.services.observations.recording import CheckpointNotFound, observe
from shipments.services.observations.source_events import Observation, SourceEventConflict
from shipments.services.observations.voiding import EventNotFound, NotVoidable, void_checkpoint, void_event
from shipments.services.shipments.bookings import DuplicateReference, book, book_all
from shipments.services.shipments.commands import NotADraft, advance, amend, discard
from shipments.services.shipments.doubtful_values import warnings_of
from shipments.services.shipments.flags import clear_flag, open_flag
from shipments.services.shipments.places import UnknownPlace, resolve_place
from shipments.services.shipments.proofs import record_proof_of_delivery
from shipments.services.shipments.tracking_links import LinkNotFound
from shipments.services.validation import InvalidArgument
from shipments.services.write import ShipmentNotFound, StaleWrite

__all__ = [
    "BatchResult",
    "CheckpointNotFound",
    "CustomerInUse",
    "CustomerNotFound",
    "DeviceKeyNotFound",
    "DriverNotFound",
    "DuplicateReference",
    "EventNotFound",
    "FeedNotFound",
    "Fix",
    "HistoryCache",
    "Implausible",
    "InvalidArgument",
    "LinkNotFound",
    "NotADraft",
    "NotVoidable",
    "Observation",
    "PositionResult",
    "ShipmentNotFound",
    "SourceEventConflict",
    "StaleWrite",
    "UnknownPlace",
    "advance",
    "amend",
    "book",
    "book_all",
    "clear_flag",
    "discard",
    "observe",
    "open_flag",
    "record_denial",
    "record_position",
    "record_positions",
    "record_proof_of_delivery",
    "require_reporter",
    "resolve_place",
    "void_checkpoint",
    "void_event",
    "warnings_of",
]
