"""Device keys of a driver: list, make, revoke."""

import uuid
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import representation
from shipments.api.fleet.permissions import require_device_admin
from shipments.api.fleet.schemas import DeviceKeyList, NewDeviceKey
from shipments.api.fleet.serializers import DeviceKeyOrder
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import problem_responses
from shipments.models import DeviceKey
from shipments.selectors import parties
from shipments.services.fleet import device_keys

_NO_STORE: Final = {"Cache-Control": "no-store"}
_MAX_LISTED: Final = 200


class DeviceKeysView(APIView):
    """The device keys of one driver."""

    @extend_schema(operation_id="listDeviceKeys", responses={200: DeviceKeyList, **problem_responses(404)})
    def get(self, request: Request, driver_id: uuid.UUID) -> Response:
        """List the newest 200 keys, revoked ones included."""
        require_device_admin(request, driver_id)
        keys = parties.device_keys(driver_id)[:_MAX_LISTED]
        return Response(
            {"results": [_device_key_json(key) for key in keys], "next": None, "previous": None}, headers=_NO_STORE
        )

    @extend_schema(
        operation_id="makeDeviceKey",
        request=DeviceKeyOrder,
        responses={201: NewDeviceKey, **problem_responses(404, body=True)},
    )
    def post(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Make a key that lets a phone report this driver's position at `/api/osmand`, and nothing else."""
        subject = require_device_admin(request, driver_id)
        body = validated_body(DeviceKeyOrder, request)
        key, secret = device_keys.create(by=subject, now=clock.now(), driver_id=driver_id, **body)
        return Response(_device_key_json(key) | {"secret": secret}, status=201, headers=_NO_STORE)


class DeviceKeyView(APIView):
    """One device key."""

    @extend_schema(operation_id="revokeDeviceKey", request=None, responses={204: None, **problem_responses(404)})
    def delete(self, request: Request, driver_id: uuid.UUID, device_key_id: uuid.UUID) -> Response:
        """Revoke a key; it stops working at once."""
        subject = require_device_admin(request, driver_id)
        device_keys.revoke(by=subject, now=clock.now(), driver_id=driver_id, key_id=device_key_id)
        return Response(status=204)


def _device_key_json(key: DeviceKey) -> dict[str, Any]:
    return {
        "id": str(key.pk),
        "name": key.name,
        "prefix": key.prefix,
        "createdAt": representation.instant(key.created_at),
        "lastUsedAt": representation.instant(key.last_used_at),
        "revokedAt": representation.instant(key.revoked_at),
    }
