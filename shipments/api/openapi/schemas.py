"""What the API gives, for the schema alone: the answers themselves are made by `shipments.representation`."""

from typing import Any

from rest_framework import serializers

from shipments.domain import lifecycle
from shipments.models import AuditEntry as AuditRow
from shipments.models import Checkpoint as CheckpointRow
from shipments.models import Driver, EventType

Shape = serializers.Serializer[Any]


class FieldProblem(Shape):
    field = serializers.CharField(help_text="Path of the field; empty for the body as a whole.")
    code = serializers.CharField()
    message = serializers.CharField()


class Problem(Shape):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    requestId = serializers.CharField()
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]
    code = serializers.CharField(required=False, help_text="`in_flight` or `key_reused`, of an Idempotency-Key.")
    outcome = serializers.CharField(
        required=False,
        help_text="`unknown`: the database went away while committing; done as a whole or not at all.",
    )


class TransitionProblem(Problem):
    current = serializers.ChoiceField(lifecycle.STATES, required=False)
    allowed = serializers.ListField(
        child=serializers.ChoiceField(lifecycle.STATES), required=False, help_text="What may be asked for now."
    )


class Place(Shape):
    locode = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    country = serializers.CharField()
    latitude = serializers.FloatField(allow_null=True)
    longitude = serializers.FloatField(allow_null=True)


class Position(Shape):
    latitude = serializers.FloatField()
    longitude = serializers.FloatField()
    recordedAt = serializers.DateTimeField()


class Party(Shape):
    id = serializers.UUIDField()
    name = serializers.CharField()


class AssignedDriver(Party):
    phone = serializers.CharField(required=False, help_text="Left out for customers.")


class Flag(Shape):
    flag = serializers.ChoiceField(lifecycle.FLAGS)
    reason = serializers.CharField()
    openedAt = serializers.DateTimeField()


class Shipment(Shape):
    id = serializers.UUIDField()
    reference = serializers.CharField()
    status = serializers.ChoiceField(lifecycle.STATES)
    seq = serializers.IntegerField(help_text="Number of the newest event.")
    origin = Place()
    destination = Place()
    customer = Party(allow_null=True)
    driver = AssignedDriver(allow_null=True)
    references = serializers.DictField(child=serializers.CharField())
    pieces = serializers.IntegerField(allow_null=True)
    weightKg = serializers.FloatField(allow_null=True)
    volumeM3 = serializers.FloatField(allow_null=True)
    plannedPickupAt = serializers.DateTimeField(allow_null=True)
    plannedDeliveryAt = serializers.DateTimeField(allow_null=True)
    eta = serializers.DateTimeField(allow_null=True)
    deliveredAt = serializers.DateTimeField(allow_null=True)
    flags = Flag(many=True)
    position = Position(allow_null=True, help_text="Where the driver was last seen.")
    notes = serializers.CharField(required=False, help_text="Internal; left out for customers.")
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class ItemProblem(Shape):
    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]
    current = serializers.ChoiceField(lifecycle.STATES, required=False)
    allowed = serializers.ListField(child=serializers.ChoiceField(lifecycle.STATES), required=False)


class BulkResult(Shape):
    index = serializers.IntegerField()
    status = serializers.IntegerField(help_text="What the item alone would have been answered with.")
    reference = serializers.CharField(allow_null=True)
    shipment = Shipment(required=False)
    problem = ItemProblem(required=False)


class BulkAnswer(Shape):
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = BulkResult(many=True)


class PageShape(Shape):
    next = serializers.CharField(allow_null=True, help_text="Path and query of the next page.")
    previous = serializers.CharField(allow_null=True, help_text="Path and query of the page before.")


class ShipmentPage(PageShape):
    results = Shipment(many=True)


class Actor(Shape):
    role = serializers.CharField()
    id = serializers.UUIDField(allow_null=True)


class Event(Shape):
    """One entry of the log, the same as on the socket."""

    id = serializers.UUIDField()
    seq = serializers.IntegerField()
    type = serializers.ChoiceField(EventType.values)
    status = serializers.ChoiceField(lifecycle.STATES)
    occurredAt = serializers.DateTimeField(help_text="When it happened, as far as is known; never the order.")
    recordedAt = serializers.DateTimeField()
    location = Place(allow_null=True)
    actor = Actor()
    data = serializers.DictField(  # type: ignore[assignment]
        help_text="`changes`: fields of the shipment with their new values; perhaps `note`."
    )


class Checkpoint(Shape):
    """An observation as it was stored."""

    id = serializers.UUIDField()
    outcome = serializers.ChoiceField(CheckpointRow.Outcome.values, help_text="How it was judged when it arrived.")
    seq = serializers.IntegerField(help_text="The event that recorded it.")
    classifier = serializers.ChoiceField(CheckpointRow.Classifier.values)
    status = serializers.ChoiceField(lifecycle.STATES, allow_null=True)
    code = serializers.CharField(allow_null=True)
    codeSystem = serializers.CharField(allow_null=True)
    occurredAt = serializers.DateTimeField()
    recordedAt = serializers.DateTimeField()
    location = Place(allow_null=True)
    note = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    sourceEventId = serializers.CharField(allow_null=True)


class ProofPicture(Shape):
    """What is known of a picture: it was written anew when it came; `sha256` is that of what was sent."""

    mediaType = serializers.ChoiceField(["image/png", "image/jpeg"])
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    sha256 = serializers.CharField()


class Proof(Shape):
    """A proof of delivery."""

    id = serializers.UUIDField()
    seq = serializers.IntegerField(help_text="The event that recorded it.")
    signerName = serializers.CharField()
    signedAt = serializers.DateTimeField()
    recordedAt = serializers.DateTimeField()
    note = serializers.CharField()
    signature = ProofPicture(allow_null=True)
    photo = ProofPicture(allow_null=True)
    supersedes = serializers.UUIDField(allow_null=True, help_text="The proof in whose place it stands.")


class EventLog(Shape):
    epoch = serializers.CharField(help_text="The history that `seq` belongs to.")
    seq = serializers.IntegerField(help_text="Number of the newest event of the shipment.")
    recovered = serializers.BooleanField(help_text="False: start anew from the shipment itself.")
    reason = serializers.ChoiceField(["epoch"], required=False)
    events = Event(many=True)


class FeedEvent(Event):
    seq = serializers.IntegerField(help_text="Of the shipment; 0 for what concerns the organisation.")
    status = serializers.ChoiceField([*lifecycle.STATES, ""])
    shipmentId = serializers.CharField(allow_null=True, help_text="The shipment's reference.")
    position = serializers.IntegerField(help_text="Its place in the organisation's feed.")


class Feed(Shape):
    epoch = serializers.CharField()
    seq = serializers.IntegerField(help_text="The newest position of the organisation.")
    events = FeedEvent(many=True)


class AuditActor(Actor):
    name = serializers.CharField()


class AuditEntry(Shape):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    actor = AuditActor()
    action = serializers.CharField()
    entity = serializers.CharField()
    entityId = serializers.CharField()
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)
    address = serializers.CharField(allow_null=True)
    requestId = serializers.CharField()
    outcome = serializers.ChoiceField(AuditRow.Outcome.values)


class AuditPage(PageShape):
    results = AuditEntry(many=True)


class DriverShape(Party):
    phone = serializers.CharField()
    status = serializers.ChoiceField(Driver.Status.choices)
    licenseNumber = serializers.CharField()
    vehicle = serializers.CharField()
    position = Position(allow_null=True)


class DriverPage(PageShape):
    results = DriverShape(many=True)


class UserMatch(Shape):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.CharField()
    role = serializers.CharField()


class UserMatches(Shape):
    results = UserMatch(many=True)


class CustomerShape(Party):
    email = serializers.CharField()
    phone = serializers.CharField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class CustomerPage(PageShape):
    results = CustomerShape(many=True)
