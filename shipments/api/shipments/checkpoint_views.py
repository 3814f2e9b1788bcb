"""Checkpoints of a shipment: store an observation, void one."""

import uuid

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation, services
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import shipment_command
from shipments.api.openapi.documentation import ETAG, IDEMPOTENCY_PARAMETERS, REFERENCE, if_match, problem_responses
from shipments.api.shipments import schemas
from shipments.api.shipments.serializers import CheckpointReport, Voiding
from shipments.api.shipments.shipment_views import shipment_response
from shipments.services import Observation


class CheckpointsView(APIView):
    """Observations of one shipment."""

    @extend_schema(
        operation_id="observeShipment",
        request=CheckpointReport,
        parameters=[REFERENCE, if_match(required=False), *IDEMPOTENCY_PARAMETERS],
        responses={
            200: schemas.Checkpoint,
            201: schemas.Checkpoint,
            **problem_responses(404, 412, body=True, keyed=True),
        },
    )
    @idempotent_write
    def post(self, request: Request, reference: str) -> Response:
        """Store an observation and apply it; the same source event again returns the stored checkpoint."""
        arguments, report = shipment_command(
            request, reference, permission="checkpoints:write", body=CheckpointReport
        )
        supersedes = report.pop("supersedes", None)
        checkpoint, is_new = services.observe(**arguments, observation=Observation(**report), supersedes=supersedes)
        return Response(representation.checkpoint(checkpoint), status=201 if is_new else 200)


class VoidView(APIView):
    """The correction of one checkpoint."""

    @extend_schema(
        operation_id="voidCheckpoint",
        request=Voiding,
        parameters=[REFERENCE, if_match(required=False), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.Shipment, **problem_responses(404, 412, body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request, reference: str, checkpoint_id: uuid.UUID) -> HttpResponse:
        """Void a checkpoint, with a reason: it no longer counts for the status, but stays in the history."""
        arguments, voiding = shipment_command(request, reference, permission="shipments:write", body=Voiding)
        services.void_checkpoint(**arguments, **voiding, checkpoint_id=checkpoint_id)
        return shipment_response(arguments["by"], reference)
