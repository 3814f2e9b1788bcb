"""What is reported about a shipment: checkpoints, their correction, and flags."""

import uuid
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation, services
from shipments.api.http.fields import Identifier, Instant, PlaceField, StrictSerializer, Text
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import shipment_command
from shipments.api.openapi import schemas
from shipments.api.openapi.documentation import ETAG, IDEMPOTENCY_PARAMETERS, REFERENCE, if_match, problem_responses
from shipments.api.shipments.serializers import Choice
from shipments.api.shipments.shipment_views import shipment_response
from shipments.domain import lifecycle, status_codes
from shipments.models import Checkpoint
from shipments.services import Observation


class CheckpointReport(StrictSerializer):
    """An observation: a status or a carrier's code; an estimate or plan with neither is one of delivery."""

    classifier = Choice(choices=Checkpoint.Classifier.choices)
    occurredAt = Instant(source="occurred_at")
    status = Choice(source="state", choices=lifecycle.STATES, required=False)
    code = Text(required=False, max_length=32, help_text="The carrier's code, kept verbatim.")
    codeSystem = Choice(source="code_system", choices=tuple(status_codes.CODE_SYSTEMS), required=False)
    location = PlaceField(required=False, allow_null=True)
    note = Text(required=False, allow_blank=True, max_length=500)
    source = Text(  # type: ignore[assignment]  # the contract's name; REST framework has one of its own
        max_length=64, help_text="Who reports; with sourceEventId it tells repetitions."
    )
    sourceEventId = Text(source="source_event_id", required=False, max_length=128)
    supersedes = Identifier(required=False, help_text="A checkpoint that this one corrects; it is voided.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a code without its system, and a status beside a code."""
        if bool(attrs.get("code")) != bool(attrs.get("code_system")):
            raise serializers.ValidationError({"codeSystem": "A code and its system go together."})
        if attrs.get("code") and attrs.get("state"):
            raise serializers.ValidationError({"status": "Give a status or a code, not both."})
        return attrs


class Voiding(StrictSerializer):
    """Why a checkpoint does not count."""

    reason = Text(max_length=500)


class FlagOpening(StrictSerializer):
    """An exception beside the status."""

    flag = Choice(choices=lifecycle.FLAGS)
    reason = Text(required=False, allow_blank=True, max_length=500)


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
        """Store an observation and judge it; the same source event again answers what was stored."""
        arguments, report = shipment_command(
            request, reference, permission="checkpoints:write", body=CheckpointReport
        )
        supersedes = report.pop("supersedes", None)
        checkpoint, is_new = services.observe(**arguments, observation=Observation(**report), supersedes=supersedes)
        return Response(representation.checkpoint(checkpoint), status=201 if is_new else 200)


class VoidView(APIView):
    """The correction of one observation."""

    @extend_schema(
        operation_id="voidCheckpoint",
        request=Voiding,
        parameters=[REFERENCE, if_match(required=False), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.Shipment, **problem_responses(404, 412, body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request, reference: str, checkpoint_id: uuid.UUID) -> HttpResponse:
        """Take an observation out of the status, with a reason; its history stays."""
        arguments, voiding = shipment_command(request, reference, permission="shipments:write", body=Voiding)
        services.void_checkpoint(**arguments, **voiding, checkpoint_id=checkpoint_id)
        return shipment_response(arguments["by"], reference)


class FlagsView(APIView):
    """The open flags of one shipment."""

    @extend_schema(
        operation_id="openFlag",
        request=FlagOpening,
        parameters=[REFERENCE, if_match(required=False), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.Shipment, **problem_responses(404, 412, body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request, reference: str) -> HttpResponse:
        """Open a flag; one that is open stays as it is."""
        arguments, opening = shipment_command(request, reference, permission="checkpoints:write", body=FlagOpening)
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
