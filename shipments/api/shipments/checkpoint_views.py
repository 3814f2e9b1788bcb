"""Checkpoints of a shipment: list them, show one, store an observation, void one."""

import uuid
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation, services
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import require_follower, shipment_command
from shipments.api.lists import parameters
from shipments.api.openapi.documentation import (
    ETAG,
    IDEMPOTENCY_PARAMETERS,
    LINK,
    REFERENCE,
    if_match,
    problem_responses,
)
from shipments.api.shipments import schemas
from shipments.api.shipments.serializers import CheckpointReport, Voiding
from shipments.api.shipments.shipment_views import shipment_response
from shipments.auth.subjects import Subject
from shipments.parsing import values
from shipments.parsing.query_parameters import Parameter, parse_parameters
from shipments.selectors import shipments as selectors
from shipments.services import CheckpointNotFound, Observation, ShipmentNotFound

_MAX_LISTED: Final = 1000
_PAGE_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "after": Parameter(
        values.whole_number(0, 2**63 - 1),
        "`seq` of the last checkpoint that the caller has. Default 0.",
        {"type": "integer", "minimum": 0, "default": 0},
    ),
    "limit": Parameter(
        values.whole_number(1, _MAX_LISTED),
        "Maximum number of checkpoints. Default 200.",
        {"type": "integer", "minimum": 1, "maximum": _MAX_LISTED, "default": 200},
    ),
}
_LOCATION: Final = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[200, 201], description="Path of the checkpoint."
)

_SUMMARY_FIELDS: Final = ("reference", "status", "seq", "eta", "deliveredAt", "flags")


class CheckpointsView(APIView):
    """Observations of one shipment."""

    @extend_schema(
        operation_id="listCheckpoints",
        parameters=[REFERENCE, *parameters.openapi_parameters(_PAGE_PARAMETERS), LINK],
        responses={200: schemas.CheckpointPage, **problem_responses(400, 404)},
    )
    def get(self, request: Request, reference: str) -> Response:
        """List the observations in the order in which they were recorded, voided ones included."""
        subject = require_follower(request)
        query = parse_parameters(request.GET, _PAGE_PARAMETERS)
        limit = query.get("limit", 200)
        rows = selectors.checkpoints_of_shipment(_shipment_id(subject, reference))
        found = list(rows.filter(seq__gt=query.get("after", 0))[: limit + 1])
        page = found[:limit]
        next_path = None
        if len(found) > limit:
            query_string = urlencode({"after": page[-1].seq, "limit": limit})
            next_path = f"{reverse('shipment-checkpoints', args=[reference])}?{query_string}"
        results = [representation.listed_checkpoint(each, subject.variant) for each in page]
        headers = {"Cache-Control": "private, no-cache"}
        if next_path:
            headers["Link"] = f'<{next_path}>; rel="next"'
        return Response({"results": results, "next": next_path, "previous": None}, headers=headers)

    @extend_schema(
        operation_id="observeShipment",
        request=CheckpointReport,
        parameters=[REFERENCE, if_match(required=False), _LOCATION, ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={
            200: schemas.StoredCheckpoint,
            201: schemas.StoredCheckpoint,
            **problem_responses(404, 409, 412, body=True, keyed=True),
        },
    )
    @idempotent_write
    def post(self, request: Request, reference: str) -> Response:
        """Store an observation and apply it; the same again returns the stored checkpoint with 200.

        The same source event with other content corrects the one that is stored: that one is voided, with an event
        of its own. The response says what the shipment is now, and its ETag.
        """
        arguments, report = shipment_command(
            request, reference, permission="checkpoints:write", body=CheckpointReport
        )
        supersedes, warnings = report.pop("supersedes", None), services.warnings_of(report)
        checkpoint, is_new = services.observe(**arguments, observation=Observation(**report), supersedes=supersedes)
        shipment = shipment_response(arguments["by"], reference)
        location = reverse("shipment-checkpoint", args=[reference, checkpoint.pk])
        body = representation.checkpoint(checkpoint) | {"shipment": _summary(shipment.content)}
        return Response(
            body | {"warnings": warnings} if warnings else body,
            status=201 if is_new else 200,
            headers={"Location": location, "ETag": shipment["ETag"]},
        )


class CheckpointView(APIView):
    """One observation."""

    @extend_schema(
        operation_id="getCheckpoint",
        parameters=[REFERENCE],
        responses={200: schemas.ListedCheckpoint, **problem_responses(404)},
    )
    def get(self, request: Request, reference: str, checkpoint_id: uuid.UUID) -> Response:
        """Show an observation as it was stored, and whether it was voided since."""
        subject = require_follower(request)
        checkpoint = (
            selectors.checkpoints_of_shipment(_shipment_id(subject, reference)).filter(pk=checkpoint_id).first()
        )
        if checkpoint is None:
            raise CheckpointNotFound(str(checkpoint_id))
        return Response(
            representation.listed_checkpoint(checkpoint, subject.variant),
            headers={"Cache-Control": "private, no-cache"},
        )


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


def _shipment_id(subject: Subject, reference: str) -> uuid.UUID:
    row = selectors.visible_shipments(subject).with_reference(reference).values_list("id", flat=True).first()
    if row is None:
        raise ShipmentNotFound(reference)
    identifier: uuid.UUID = row
    return identifier


def _summary(shipment_json: bytes) -> dict[str, Any]:
    """Return what observations can change of a shipment, out of its JSON."""
    shipment = orjson.loads(shipment_json)
    return {field: shipment[field] for field in _SUMMARY_FIELDS}
