"""Shipments: list, book, show, amend, discard, advance."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import orjson
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import services
from shipments.api.authentication import subject_of
from shipments.api.http import conditional
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import require_follower, require_reader, shipment_command, validated_body
from shipments.api.lists import parameters
from shipments.api.lists.responses import page_response
from shipments.api.openapi import schemas as openapi_schemas
from shipments.api.openapi.documentation import (
    ETAG,
    IDEMPOTENCY_PARAMETERS,
    IF_NONE_MATCH,
    LINK,
    LOCATION,
    REFERENCE,
    if_match,
    problem_responses,
)
from shipments.api.shipments import schemas, serializers
from shipments.auth.subjects import Subject
from shipments.caching import pages, prepared
from shipments.parsing import values
from shipments.parsing.query_parameters import Parameter, parse_parameters
from shipments.selectors import shipments as selectors
from shipments.selectors.lists.definitions import SHIPMENTS
from shipments.selectors.lists.parsing import parse_list_query
from shipments.selectors.positions import fetch_positions

_SHIPMENT_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "asOf": Parameter(
        values.query_instant,
        "Show the shipment as the service showed it at this time.",
        {"type": "string", "format": "date-time"},
    ),
}
_NOT_MODIFIED: Final = OpenApiResponse(description="The client has the current version.")


class ShipmentsView(APIView):
    """The caller's shipments."""

    @extend_schema(
        operation_id="listShipments",
        parameters=[*parameters.openapi_parameters(SHIPMENTS.parameters), IF_NONE_MATCH, ETAG, LINK],
        responses={200: schemas.ShipmentPage, 304: _NOT_MODIFIED, **problem_responses(400)},
    )
    def get(self, request: Request) -> HttpResponse:
        """List the shipments that the caller may see, newest first by default."""
        query = parse_list_query(SHIPMENTS, request.path, request.META["QUERY_STRING"], require_reader(request))
        page = pages.fetch_page(query)
        positions = fetch_positions(page.drivers) if page.positions is None else page.positions
        return page_response(request, page.render(positions))

    @extend_schema(
        operation_id="bookShipment",
        request=serializers.ShipmentBooking,
        parameters=[ETAG, LOCATION, *IDEMPOTENCY_PARAMETERS],
        responses={201: schemas.WrittenShipment, **problem_responses(409, body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request) -> HttpResponse:
        """Book a shipment: as a draft, or with `"status": "booked"`."""
        subject = subject_of(request)
        subject.require("shipments:write")
        booking = validated_body(serializers.ShipmentBooking, request)
        shipment = services.book(by=subject, now=clock.now(), **booking)
        response = shipment_response(
            subject, shipment.reference, status=201, warnings=services.warnings_of(booking)
        )
        response["Location"] = reverse("shipment", args=[shipment.reference])
        return response


class ShipmentView(APIView):
    """One shipment."""

    @extend_schema(
        operation_id="getShipment",
        parameters=[REFERENCE, *parameters.openapi_parameters(_SHIPMENT_PARAMETERS), IF_NONE_MATCH, ETAG],
        responses={
            200: schemas.Shipment,
            304: _NOT_MODIFIED,
            **problem_responses(400, 404),
        },
    )
    def get(self, request: Request, reference: str) -> HttpResponse:
        """Show a shipment as it is, or as the log showed it at an earlier time; also for a tracking link."""
        subject = require_follower(request)
        query = parse_parameters(request.GET, _SHIPMENT_PARAMETERS)
        if "asOf" in query:
            return Response(
                _as_of(subject, reference, query["asOf"]), headers={"Cache-Control": "private, no-cache"}
            )
        return shipment_response(subject, reference, client_has=partial(conditional.is_fresh, request))

    @extend_schema(
        operation_id="amendShipment",
        request=serializers.ShipmentAmendment,
        parameters=[REFERENCE, if_match(required=True), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.WrittenShipment, **problem_responses(404, 412, 428, body=True, keyed=True)},
    )
    @idempotent_write
    def patch(self, request: Request, reference: str) -> HttpResponse:
        """Change plans, measures, parties, places or notes of the version that was read."""
        arguments, changes = shipment_command(
            request,
            reference,
            permission="shipments:write",
            body=serializers.ShipmentAmendment,
            version_required=True,
        )
        services.amend(**arguments, changes=changes)
        return shipment_response(arguments["by"], reference, warnings=services.warnings_of(changes))

    @extend_schema(
        operation_id="discardShipment",
        request=None,
        parameters=[REFERENCE, if_match(required=False), *IDEMPOTENCY_PARAMETERS],
        responses={204: None, **problem_responses(404, 409, 412, keyed=True)},
    )
    @idempotent_write
    def delete(self, request: Request, reference: str) -> Response:
        """Delete a draft; a shipment in any other state is cancelled instead, by a transition."""
        arguments, _ = shipment_command(request, reference, permission="shipments:write")
        services.discard(**arguments)
        return Response(status=204)


class TransitionsView(APIView):
    """Commands that move a shipment to another state."""

    @extend_schema(
        operation_id="advanceShipment",
        request=serializers.Transition,
        parameters=[REFERENCE, if_match(required=False), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={
            200: schemas.WrittenShipment,
            **problem_responses(404, 409, 412, body=True, keyed=True, conflict=openapi_schemas.TransitionProblem),
        },
    )
    @idempotent_write
    def post(self, request: Request, reference: str) -> HttpResponse:
        """Move a shipment to another state; a command for the state that it has changes nothing."""
        arguments, transition = shipment_command(
            request, reference, permission="checkpoints:write", body=serializers.Transition
        )
        services.advance(**arguments, **transition)
        return shipment_response(arguments["by"], reference, warnings=services.warnings_of(transition))


def shipment_response(
    subject: Subject,
    reference: str,
    *,
    status: int = 200,
    client_has: Callable[[str], bool] = lambda _: False,
    warnings: Sequence[Mapping[str, str]] = (),
) -> HttpResponse:
    """Return the shipment as the subject sees it; 304 where `client_has` holds for the current ETag.

    `warnings` are about the values of the write that this answers.

    Raises ShipmentNotFound.
    """
    prepared_body = prepared.get_shipment(subject, subject.variant, reference, client_has=client_has)
    if prepared_body is None:
        raise services.ShipmentNotFound(reference)
    body = prepared_body.body
    if body is not None and warnings:
        body = body[:-1] + b',"warnings":' + orjson.dumps(warnings) + b"}"
    return conditional.json_response(body, prepared_body.etag, status=status)


def _as_of(subject: Subject, reference: str, at: datetime) -> dict[str, Any]:
    """Return the snapshot that the log gives for that time; notes and positions are not part of the log.

    Raises ShipmentNotFound, also where the shipment was not booked yet.
    """
    snapshot = selectors.snapshot_as_of(subject, subject.variant, reference, at)
    if snapshot is None:
        raise services.ShipmentNotFound(reference)
    return snapshot | {"position": None}
