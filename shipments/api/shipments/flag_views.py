"""Flags of a shipment: open and clear."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from shipments import services
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import shipment_command
from shipments.api.openapi.documentation import ETAG, IDEMPOTENCY_PARAMETERS, REFERENCE, if_match, problem_responses
from shipments.api.shipments import schemas, serializers
from shipments.api.shipments.shipment_views import shipment_response


class FlagsView(APIView):
    """The open flags of one shipment."""

    @extend_schema(
        operation_id="openFlag",
        request=serializers.FlagOpening,
        parameters=[REFERENCE, if_match(required=False), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.Shipment, **problem_responses(404, 412, body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request, reference: str) -> HttpResponse:
        """Open a flag; one that is open already stays as it is."""
        arguments, opening = shipment_command(
            request, reference, permission="checkpoints:write", body=serializers.FlagOpening
        )
        services.open_flag(**arguments, **opening)
        return shipment_response(arguments["by"], reference)


class FlagView(APIView):
    """One flag of one shipment."""

    @extend_schema(
        operation_id="clearFlag",
        request=None,
        parameters=[REFERENCE, if_match(required=False), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.Shipment, **problem_responses(400, 404, 412, keyed=True)},
    )
    @idempotent_write
    def delete(self, request: Request, reference: str, flag: str) -> HttpResponse:
        """Clear a flag; one that is not open changes nothing."""
        arguments, _ = shipment_command(request, reference, permission="checkpoints:write")
        services.clear_flag(**arguments, flag=flag)
        return shipment_response(arguments["by"], reference)
