"""Schemas of the responses about shipments."""

# ruff: noqa: N815  the names are those on the wire

from typing import Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from shipments.api.openapi.schemas import (
    EventActor,
    FieldProblem,
    PageSchema,
    Party,
    Place,
    Position,
    ResponseSchema,
)
from shipments.domain import lifecycle
from shipments.models import Checkpoint as CheckpointRow
from shipments.models import EventType


class AssignedDriver(Party):
    phone = serializers.CharField(required=False, help_text="Left out for customers.")


class Flag(ResponseSchema):
    flag = serializers.ChoiceField(lifecycle.FLAGS)
    reason = serializers.CharField(help_text="Empty for customers and tracking links.")
    openedAt = serializers.DateTimeField()


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {
            "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
        },
    }
)
class ReferenceValues(serializers.DictField):
    """References by name; a name may have several values."""


class ValueWarning(ResponseSchema):
    """A value that was taken, and is hardly right."""

    field = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


class Shipment(ResponseSchema):
    id = serializers.UUIDField()
    reference = serializers.CharField()
    status = serializers.ChoiceField(lifecycle.STATES)
    seq = serializers.IntegerField(help_text="Number of the newest event.")
    origin = Place()
    destination = Place()
    customer = Party(allow_null=True)
    driver = AssignedDriver(allow_null=True)
    references = ReferenceValues()
    pieces = serializers.IntegerField(allow_null=True)
    weightKg = serializers.FloatField(allow_null=True)
    volumeM3 = serializers.FloatField(allow_null=True)
    plannedPickupAt = serializers.DateTimeField(allow_null=True)
    plannedDeliveryAt = serializers.DateTimeField(allow_null=True)
    eta = serializers.DateTimeField(allow_null=True)
    deliveredAt = serializers.DateTimeField(allow_null=True)
    flags = Flag(many=True)
    position = Position(
        allow_null=True,
        help_text="The driver's latest position. For customers and tracking links only while the shipment is under"
        " way, and none from before.",
    )
    notes = serializers.CharField(required=False, help_text="Internal; left out for customers.")
    allowedTransitions = serializers.ListField(
        child=serializers.ChoiceField(lifecycle.STATES),
        required=False,
        help_text="The states to which a command may move it now: a driver is assigned where one is needed, no hold"
        " is open. Left out for customers, and not part of snapshots and events.",
    )
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class WrittenShipment(Shipment):
    """A shipment after a write, with what is doubtful about the values that it was given."""

    warnings = ValueWarning(many=True, required=False, help_text="About the values of the write.")


class ShipmentPage(PageSchema):
    results = Shipment(many=True)
    match = serializers.ChoiceField(
        ["exact", "fuzzy"],
        required=False,
        help_text="Of a search by `q`: `exact` where the shipments contain the text, `fuzzy` where none does and"
        " these are most like it.",
    )


class Checkpoint(ResponseSchema):
    """An observation as it was stored."""

    id = serializers.UUIDField()
    outcome = serializers.ChoiceField(CheckpointRow.Outcome.choices, help_text="How it was judged when it arrived.")
    seq = serializers.IntegerField(help_text="The event that recorded it.")
    classifier = serializers.ChoiceField(CheckpointRow.Classifier.choices)
    status = serializers.ChoiceField(lifecycle.STATES, allow_null=True)
    code = serializers.CharField(allow_null=True)
    codeSystem = serializers.CharField(allow_null=True)
    occurredAt = serializers.DateTimeField()
    recordedAt = serializers.DateTimeField()
    location = Place(allow_null=True)
    note = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a name of the contract and of DRF
    sourceEventId = serializers.CharField(allow_null=True)


class ListedCheckpoint(Checkpoint):
    """An observation as it was stored, and whether it was voided since."""

    voidedAt = serializers.DateTimeField(allow_null=True)
    voidReason = serializers.CharField(required=False, help_text="Left out for customers and tracking links.")


class CheckpointPage(PageSchema):
    results = ListedCheckpoint(many=True)


class ItemProblem(ResponseSchema):
    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]  # a name of the contract and of DRF
    current = serializers.ChoiceField(lifecycle.STATES, required=False)
    allowed = serializers.ListField(child=serializers.ChoiceField(lifecycle.STATES), required=False)


class BulkResult(ResponseSchema):
    index = serializers.IntegerField()
    status = serializers.IntegerField(help_text="The status that the item would have had as a request of its own.")
    reference = serializers.CharField(allow_null=True)
    shipment = Shipment(required=False, help_text="As it is after all items.")
    checkpoint = Checkpoint(required=False, help_text="Of an observation.")
    warnings = ValueWarning(many=True, required=False, help_text="About the values of the item.")
    problem = ItemProblem(required=False)


class BulkAnswer(ResponseSchema):
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = BulkResult(many=True)


class Event(ResponseSchema):
    """One entry of the log, the same as on the socket."""

    id = serializers.UUIDField()
    seq = serializers.IntegerField()
    type = serializers.ChoiceField(EventType.values)
    status = serializers.ChoiceField(lifecycle.STATES)
    occurredAt = serializers.DateTimeField(help_text="When it happened, as far as is known; never the order.")
    recordedAt = serializers.DateTimeField()
    location = Place(allow_null=True)
    actor = EventActor()
    data = serializers.DictField(  # type: ignore[assignment]  # a name of the contract and of DRF
        help_text="`changes`: fields of the shipment with their new values; `note` where one was given. Customers"
        " and tracking links see no reasons of flags and voids, and none of the customers that it had before."
    )


# Why a client cannot go on from its cursor: of another history, beyond the newest event, no longer its to read.
UNRECOVERED_REASONS: Final = ("epoch", "ahead", "forbidden")


class EventLog(ResponseSchema):
    epoch = serializers.CharField(help_text="The history that `seq` belongs to.")
    seq = serializers.IntegerField(help_text="Number of the newest event of the shipment.")
    recovered = serializers.BooleanField(help_text="False: read the shipment itself and go on from its `seq`.")
    reason = serializers.ChoiceField(UNRECOVERED_REASONS, required=False)
    events = Event(many=True)


class ShipmentSummary(ResponseSchema):
    """What observations can change of a shipment."""

    reference = serializers.CharField()
    status = serializers.ChoiceField(lifecycle.STATES)
    seq = serializers.IntegerField(help_text="Number of the newest event.")
    eta = serializers.DateTimeField(allow_null=True)
    deliveredAt = serializers.DateTimeField(allow_null=True)
    flags = Flag(many=True)


class StoredCheckpoint(Checkpoint):
    """An observation as it was stored, and the shipment as it is now."""

    shipment = ShipmentSummary()
    warnings = ValueWarning(many=True, required=False, help_text="About the values of the report.")


class ProofPicture(ResponseSchema):
    """A picture as it was stored, encoded anew; `sha256` is the digest of the upload."""

    mediaType = serializers.ChoiceField(["image/png", "image/jpeg"])
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    sha256 = serializers.CharField()


class Proof(ResponseSchema):
    """A proof of delivery."""

    id = serializers.UUIDField()
    seq = serializers.IntegerField(help_text="The event that recorded it.")
    signerName = serializers.CharField()
    signedAt = serializers.DateTimeField()
    recordedAt = serializers.DateTimeField()
    note = serializers.CharField()
    signature = ProofPicture(allow_null=True)
    photo = ProofPicture(allow_null=True)
    supersedes = serializers.UUIDField(allow_null=True, help_text="The proof that this one replaces.")


class Link(ResponseSchema):
    """A link without its token."""

    id = serializers.UUIDField()
    prefix = serializers.CharField(help_text="How its token begins.")
    createdAt = serializers.DateTimeField()
    expiresAt = serializers.DateTimeField()
    revokedAt = serializers.DateTimeField(allow_null=True)


class NewLink(ResponseSchema):
    """A link with its token."""

    id = serializers.UUIDField()
    token = serializers.CharField(help_text="Shown in this response only.")
    expiresAt = serializers.DateTimeField()


class LinkList(ResponseSchema):
    """The links of a shipment."""

    results = Link(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
