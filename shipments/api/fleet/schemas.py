"""Schemas of the responses about drivers, their positions and their device keys."""

# ruff: noqa: N815  the names are those on the wire

from rest_framework import serializers

from shipments.api.fleet.ignored_positions import ACCEPTED, IGNORED, IGNORED_CODES, REFUSED
from shipments.api.openapi.schemas import PageSchema, Party, Position, ResponseSchema
from shipments.api.shipments.schemas import ItemProblem
from shipments.models import Driver
from shipments.services.fleet import positions


class DriverShape(Party):
    phone = serializers.CharField()
    status = serializers.ChoiceField(Driver.Status.choices)
    licenseNumber = serializers.CharField()
    vehicle = serializers.CharField()
    position = Position(allow_null=True)


class DriverPage(PageSchema):
    results = DriverShape(many=True)


class RecordedPosition(Position):
    """A position that was stored, or ignored."""

    driverId = serializers.UUIDField()
    accuracy = serializers.FloatField(allow_null=True)
    speed = serializers.FloatField(allow_null=True)
    bearing = serializers.FloatField(allow_null=True)
    outcome = serializers.ChoiceField(
        (*positions.OUTCOMES, IGNORED),
        help_text=(
            "`latest` is shown from now on, `late` is older than the one shown, `duplicate` had been stored before,"
            " `ignored` is never shown, for the reason given."
        ),
    )
    reason = serializers.CharField(
        allow_null=True, help_text=f"Why it is ignored: {', '.join(f'`{code}`' for code in IGNORED_CODES)}."
    )


class PositionItemResult(ResponseSchema):
    """What became of one position of a batch."""

    index = serializers.IntegerField()
    outcome = serializers.ChoiceField(
        (ACCEPTED, IGNORED, REFUSED),
        help_text=(
            "`accepted` is stored, now or before; `ignored` is never shown, for the `reason` given; `refused`"
            " cannot be used, as `problem` says. None of them is worth another attempt."
        ),
    )
    reason = serializers.CharField(required=False, help_text="As in the answer to a single position.")
    problem = ItemProblem(required=False)


class PositionBatchResult(ResponseSchema):
    """What became of the positions of a batch, in its order."""

    accepted = serializers.IntegerField()
    ignored = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = PositionItemResult(many=True)


class DeviceKeyShape(ResponseSchema):
    """A key without its secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    createdAt = serializers.DateTimeField()
    lastUsedAt = serializers.DateTimeField(allow_null=True)
    revokedAt = serializers.DateTimeField(allow_null=True)


class NewDeviceKey(DeviceKeyShape):
    """A key with its secret."""

    secret = serializers.CharField(help_text="The device identifier for the phone. Shown in this response only.")


class DeviceKeyList(ResponseSchema):
    """The keys of a driver."""

    results = DeviceKeyShape(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
