"""Where a driver is, and the keys by which its phone says so."""

import uuid
from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import intake, representation
from shipments.api.authentication import subject_of
from shipments.api.http.fields import Instant, Number, StrictSerializer, Text
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import problem_responses
from shipments.api.openapi.schemas import Position, Shape
from shipments.auth.subjects import Subject
from shipments.models import DeviceKey
from shipments.selectors import parties
from shipments.services import DriverNotFound
from shipments.services.fleet import device_keys, plausibility, positions

_NO_STORE: Final = {"Cache-Control": "no-store"}


class LocationReport(StrictSerializer):
    """A position: WGS 84 degrees, metres, metres a second, degrees from north."""

    latitude = Number(min_value=-90, max_value=90)
    longitude = Number(min_value=-180, max_value=180)
    accuracy = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_ACCURACY_METRES)
    speed = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_METRES_PER_SECOND)
    bearing = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_BEARING_DEGREES)
    recordedAt = Instant(source="recorded_at", required=False, allow_null=True)


class RecordedPosition(Position):
    """A position that was taken."""

    driverId = serializers.UUIDField()
    accuracy = serializers.FloatField(allow_null=True)
    speed = serializers.FloatField(allow_null=True)
    bearing = serializers.FloatField(allow_null=True)
    outcome = serializers.ChoiceField(
        positions.OUTCOMES,
        help_text="`latest` is shown from now on, `late` is kept behind a newer one, `duplicate` was kept before.",
    )


class DeviceKeyOrder(StrictSerializer):
    """A key to be made."""

    name = Text(max_length=80, help_text="Which phone it is for.")


class DeviceKeyShape(Shape):
    """A key without its secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    createdAt = serializers.DateTimeField()
    lastUsedAt = serializers.DateTimeField(allow_null=True)
    revokedAt = serializers.DateTimeField(allow_null=True)


class NewDeviceKey(DeviceKeyShape):
    """A key with its secret."""

    secret = serializers.CharField(
        help_text="The device identifier for the phone. Shown in this answer and nowhere else."
    )


class DeviceKeyList(Shape):
    """The keys of a driver."""

    results = DeviceKeyShape(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class LocationView(APIView):
    """Where a driver is."""

    @extend_schema(
        operation_id="reportLocation",
        request=LocationReport,
        responses={200: RecordedPosition, 201: RecordedPosition, **problem_responses(404, body=True)},
    )
    def post(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Report the caller's own position; one of the same time again is answered with 200 and changes nothing.

        A jump that no vehicle makes is refused; three in a row that agree with each other are believed.
        """
        subject = _require_visible_driver(request, driver_id)
        subject.require("positions:write")
        report = validated_body(LocationReport, request)
        result = intake.record_position(by=subject, now=timezone.now(), driver_id=driver_id, **report)
        fix = result.fix
        body = representation.driver_position(fix.driver_id, fix.latitude, fix.longitude, fix.recorded_at)
        body |= {"accuracy": fix.accuracy, "speed": fix.speed, "bearing": fix.bearing, "outcome": result.outcome}
        return Response(body, status=200 if result.outcome == positions.DUPLICATE else 201)


class DeviceKeysView(APIView):
    """The keys of a driver's phones."""

    @extend_schema(operation_id="listDeviceKeys", responses={200: DeviceKeyList, **problem_responses(404)})
    def get(self, request: Request, driver_id: uuid.UUID) -> Response:
        """List the keys, newest first, those that were revoked included."""
        _require_device_admin(request, driver_id)
        keys = parties.device_keys(driver_id)[:200]
        return Response(
            {"results": [_device_key_json(key) for key in keys], "next": None, "previous": None}, headers=_NO_STORE
        )

    @extend_schema(
        operation_id="makeDeviceKey",
        request=DeviceKeyOrder,
        responses={201: NewDeviceKey, **problem_responses(404, body=True)},
    )
    def post(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Make a key by which a phone reports this driver's position at `/api/osmand`, and does nothing else."""
        subject = _require_device_admin(request, driver_id)
        body = validated_body(DeviceKeyOrder, request)
        key, secret = device_keys.create(by=subject, now=timezone.now(), driver_id=driver_id, **body)
        return Response(_device_key_json(key) | {"secret": secret}, status=201, headers=_NO_STORE)


class DeviceKeyView(APIView):
    """One key."""

    @extend_schema(operation_id="revokeDeviceKey", request=None, responses={204: None, **problem_responses(404)})
    def delete(self, request: Request, driver_id: uuid.UUID, device_key_id: uuid.UUID) -> Response:
        """Revoke a key at once."""
        subject = _require_device_admin(request, driver_id)
        device_keys.revoke(by=subject, now=timezone.now(), driver_id=driver_id, key_id=device_key_id)
        return Response(status=204)


def _require_visible_driver(request: Request, driver_id: uuid.UUID) -> Subject:
    subject = subject_of(request)
    if parties.driver(subject, driver_id) is None:
        raise DriverNotFound(str(driver_id))
    return subject


def _require_device_admin(request: Request, driver_id: uuid.UUID) -> Subject:
    subject = _require_visible_driver(request, driver_id)
    subject.require("devices:write")
    return subject


def _device_key_json(key: DeviceKey) -> dict[str, Any]:
    return {
        "id": str(key.pk),
        "name": key.name,
        "prefix": key.prefix,
        "createdAt": representation.instant(key.created_at),
        "lastUsedAt": representation.instant(key.last_used_at),
        "revokedAt": representation.instant(key.revoked_at),
    }
