"""The domain's tables, one module per aggregate."""

from shipments.models.account import ApiKey, Membership, Organization, RefreshFamily, Role, User
from shipments.models.audit import AuditEntry, AuditLink, UnlinkedEntry
from shipments.models.checkpoint import Checkpoint
from shipments.models.customer import Customer
from shipments.models.driver import Driver, DriverPosition
from shipments.models.event import EventType, Generation, ShipmentEvent
from shipments.models.feed import FeedEntry, UnnumberedEvent
from shipments.models.idempotency import IdempotencyKey
from shipments.models.location import Location
from shipments.models.position import DeviceKey, Position
from shipments.models.proof import ProofOfDelivery, ProofPicture
from shipments.models.shipment import Shipment
from shipments.models.socket_ticket import SocketTicket
from shipments.models.tracking_link import TrackingLink

__all__ = [
    "ApiKey",
    "AuditEntry",
    "AuditLink",
    "Checkpoint",
    "Customer",
    "DeviceKey",
    "Driver",
    "DriverPosition",
    "EventType",
    "FeedEntry",
    "Generation",
    "IdempotencyKey",
    "Location",
    "Membership",
    "Organization",
    "Position",
    "ProofOfDelivery",
    "ProofPicture",
    "RefreshFamily",
    "Role",
    "Shipment",
    "ShipmentEvent",
    "SocketTicket",
    "TrackingLink",
    "UnlinkedEntry",
    "UnnumberedEvent",
    "User",
]
