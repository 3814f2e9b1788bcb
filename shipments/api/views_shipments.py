"""Shipments: list, book, show, amend, discard, advance."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db.models.functions import Upper
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation, services, texts
from shipments.access import Subject
from shipments.api import conditional, filters, pagination, parameters, serializers, shapes
from shipments.api.authentication import subject_of
from shipments.api.documentation import (
    ETAG,
    IF_NONE_MATCH,
    KEYED,
    LINK,
    LOCATION,
    REFERENCE,
    if_match,
    problems,
)
from shipments.api.idempotency import written
from shipments.api.views import command, follower, reader, values
from shipments.selectors import pages, prepared
from shipments.selectors import shipments as selectors
from shipments.selectors.parameters import Parameter
from shipments.selectors.versions import Version

_SHIPMENT: Final[Mapping[str, Parameter]] = {
    "asOf": Parameter(
        texts.instant, "Answer what the service said at this time.", {"type": "string", "format": "date-time"}
    ),
}
_UNCHANGED: Final = OpenApiResponse(description="The caller has this version.")
_COLUMNS = (*representation.SHIPMENT_COLUMNS, "reference_key")


def listed(request: HttpRequest | Request, subject: Subject, *, version: Version | None = None) -> pages.RenderedPage:
    """This will return the page of shipments that a request asks for; raises parameters.Invalid.

    The version of the organisation is read unless the caller has read it just now.
    """
    sight = subject.visibility_scope

    def read() -> pages.PageRows:
        query, page = filters.narrowed(
            lambda: selectors.visible_shipments(sight).annotate(reference_key=Upper("reference")),
            request.GET,
            filters.shipments(subject),
            filters.SHIPMENT_ORDERS,
            _COLUMNS,
            default="-createdAt",
            shape=sight,
        )
        return pages.PageRows(page.rows, **pagination.addresses(request, query, page))

    return pages.fetch_page(subject, subject.variant, request.get_full_path(), read, version=version)


class ShipmentsView(APIView):
    """The caller's shipments."""

    @extend_schema(
        operation_id="listShipments",
        parameters=[*parameters.described(filters.SHIPMENTS), IF_NONE_MATCH, ETAG, LINK],
        responses={200: shapes.ShipmentPage, 304: _UNCHANGED, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """List the shipments that the caller may see, newest first unless told otherwise."""
        page = listed(request, reader(request))
        known = conditional.is_fresh(request, page.etag)
        response = conditional.tagged(None if known else page.body, page.etag)
        links = pagination.link({"next": page.next, "previous": page.previous})
        if links:
            response["Link"] = links
        return response

    @extend_schema(
        operation_id="bookShipment",
        request=serializers.ShipmentBooking,
        parameters=[ETAG, LOCATION, *KEYED],
        responses={201: shapes.Shipment, **problems(409, body=True, keyed=True)},
    )
    @written
    def post(self, request: Request) -> Response:
        """Book a shipment: as a draft, or with `"status": "booked"`."""
        subject = subject_of(request)
        subject.require("shipments:write")
        shipment = services.book(by=subject, now=timezone.now(), **values(serializers.ShipmentBooking, request))
        response = shown(subject, shipment.reference, status=201)
        response["Location"] = reverse("shipment", args=[shipment.reference])
        return response


class ShipmentView(APIView):
    """One shipment."""

    @extend_schema(
        operation_id="getShipment",
        parameters=[REFERENCE, *parameters.described(_SHIPMENT), IF_NONE_MATCH, ETAG],
        responses={
            200: shapes.Shipment,
            304: _UNCHANGED,
            **problems(400, 404),
        },
    )
    def get(self, request: Request, reference: str) -> Response:
        """Show a shipment as it is, or as the log told it at an earlier time; also to a tracking link."""
        subject = follower(request)
        asked = parameters.parse_parameters(request.GET, _SHIPMENT)
        if "asOf" in asked:
            return Response(
                _as_of(subject, reference, asked["asOf"]), headers={"Cache-Control": "private, no-cache"}
            )
        return shown(subject, reference, has=partial(conditional.is_fresh, request))

    @extend_schema(
        operation_id="amendShipment",
        request=serializers.ShipmentAmendment,
        parameters=[REFERENCE, if_match(required=True), ETAG, *KEYED],
        responses={200: shapes.Shipment, **problems(404, 412, 428, body=True, keyed=True)},
    )
    @written
    def patch(self, request: Request, reference: str) -> Response:
        """Change plans, measures, parties, places or notes of the version that was read."""
        terms, changes = command(
            request,
            reference,
            permission="shipments:write",
            body=serializers.ShipmentAmendment,
            version_required=True,
        )
        services.amend(**terms, changes=changes)
        return shown(terms["by"], reference)

    @extend_schema(
        operation_id="discardShipment",
        request=None,
        parameters=[REFERENCE, if_match(required=False), *KEYED],
        responses={204: None, **problems(404, 409, 412, keyed=True)},
    )
    @written
    def delete(self, request: Request, reference: str) -> Response:
        """Take a draft away; anything further on is cancelled instead."""
        terms, _ = command(request, reference, permission="shipments:write")
        services.discard(**terms)
        return Response(status=204)


class TransitionsView(APIView):
    """Commands that move a shipment from state to state."""

    @extend_schema(
        operation_id="advanceShipment",
        request=serializers.Transition,
        parameters=[REFERENCE, if_match(required=False), ETAG, *KEYED],
        responses={
            200: shapes.Shipment,
            **problems(404, 409, 412, body=True, keyed=True, shape=shapes.TransitionProblem),
        },
    )
    @written
    def post(self, request: Request, reference: str) -> Response:
        """Move a shipment to another state; asking for the state that it has changes nothing."""
        terms, transition = command(request, reference, permission="checkpoints:write", body=serializers.Transition)
        services.advance(**terms, **transition)
        return shown(terms["by"], reference)


def shown(
    subject: Subject, reference: str, *, status: int = 200, has: Callable[[str], bool] = lambda _: False
) -> Response:
    """This will answer with the shipment as the subject sees it; `has` tells which version the caller has.

    Raises ShipmentNotFound.
    """
    found = prepared.get_shipment(subject, subject.variant, reference, client_has=has)
    if found is None:
        raise services.ShipmentNotFound(reference)
    return conditional.tagged(found.body, found.etag, status=status)


def _as_of(subject: Subject, reference: str, at: datetime) -> dict[str, Any]:
    """This will return the snapshot that the log told at that time; notes and positions are no part of the log.

    Raises ShipmentNotFound, also where it was not booked yet.
    """
    told = selectors.snapshot_as_of(subject, reference, at)
    if told is None:
        raise services.ShipmentNotFound(reference)
    return told | {"position": None}
