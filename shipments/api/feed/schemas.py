"""Schemas of the feed and of the audit log."""

# ruff: noqa: N815  the names are those on the wire

from rest_framework import serializers

from shipments.api.openapi.schemas import Actor, PageSchema, ResponseSchema
from shipments.api.shipments.schemas import UNRECOVERED_REASONS, Event
from shipments.domain import lifecycle
from shipments.models import AuditEntry as AuditRow


class FeedEvent(Event):
    seq = serializers.IntegerField(help_text="Of the shipment; 0 for what concerns the organisation.")
    status = serializers.ChoiceField([*lifecycle.STATES, ""])
    shipmentId = serializers.CharField(allow_null=True, help_text="The shipment's reference.")
    position = serializers.IntegerField(help_text="Its number in the organisation's feed.")


class Feed(ResponseSchema):
    epoch = serializers.CharField(help_text="The history that the positions belong to.")
    seq = serializers.IntegerField(
        help_text="The newest position of the organisation; where no event was found, the position up to which"
        " events were looked for."
    )
    nextAfter = serializers.IntegerField(
        help_text="The `after` of the next request: up to here no event is missing."
    )
    recovered = serializers.BooleanField(help_text="False: read the shipments themselves and go on from `seq`.")
    reason = serializers.ChoiceField(UNRECOVERED_REASONS, required=False)
    events = FeedEvent(many=True)


class AuditActor(Actor):
    name = serializers.CharField()


class AuditEntry(ResponseSchema):
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


class AuditPage(PageSchema):
    results = AuditEntry(many=True)
