"""Tracking links of a shipment: list, make, revoke."""

import uuid
from datetime import timedelta
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import representation
from shipments.api.authentication import subject_of
from shipments.api.http.requests import not_found_unless_visible, validated_body
from shipments.api.openapi.documentation import REFERENCE, problem_responses
from shipments.api.shipments.schemas import LinkList, NewLink
from shipments.api.shipments.serializers import LinkOrder
from shipments.auth.subjects import Subject
from shipments.models import TrackingLink
from shipments.selectors import shipments as selectors
from shipments.services import ShipmentNotFound
from shipments.services.shipments import tracking_links

_NO_STORE: Final = {"Cache-Control": "no-store"}
_MAX_LISTED: Final = 200


class LinksView(APIView):
    """The links of one shipment that the caller manages: for a customer its account's, for others all."""

    @extend_schema(
        operation_id="listTrackingLinks",
        parameters=[REFERENCE],
        responses={200: LinkList, **problem_responses(404)},
    )
    def get(self, request: Request, reference: str) -> Response:
        """List the newest 200 links, expired and revoked ones included."""
        subject = _require_link_permission(request, reference, "links:read")
        shipment_id = (
            selectors.visible_shipments(subject).with_reference(reference).values_list("id", flat=True).first()
        )
        if shipment_id is None:
            raise ShipmentNotFound(reference)
        links_shown = selectors.tracking_links(subject, shipment_id)[:_MAX_LISTED]
        return Response(
            {"results": [_link_json(link) for link in links_shown], "next": None, "previous": None},
            headers=_NO_STORE,
        )

    @extend_schema(
        operation_id="makeTrackingLink",
        request=LinkOrder,
        parameters=[REFERENCE],
        responses={201: NewLink, **problem_responses(404, body=True)},
    )
    def post(self, request: Request, reference: str) -> Response:
        """Make a link: its token lets anybody read this shipment and its log, and nothing else."""
        now = clock.now()
        subject = _require_link_permission(request, reference, "links:write")
        with not_found_unless_visible(subject, reference):
            terms = validated_body(LinkOrder, request)
            ends_at = now + timedelta(days=terms["days"]) if "days" in terms else terms.get("expires_at")
        link, token = tracking_links.create(by=subject, now=now, reference=reference, expires_at=ends_at)
        body = {"id": str(link.pk), "token": token, "expiresAt": representation.instant(link.expires_at)}
        return Response(body, status=201, headers=_NO_STORE)

    @extend_schema(
        operation_id="revokeTrackingLinks",
        request=None,
        parameters=[REFERENCE],
        responses={204: None, **problem_responses(404)},
    )
    def delete(self, request: Request, reference: str) -> Response:
        """Revoke all links; they stop working at once."""
        subject = _require_link_permission(request, reference, "links:write")
        tracking_links.revoke(by=subject, now=clock.now(), reference=reference)
        return Response(status=204)


class LinkView(APIView):
    """One link."""

    @extend_schema(
        operation_id="revokeTrackingLink",
        request=None,
        parameters=[REFERENCE],
        responses={204: None, **problem_responses(404)},
    )
    def delete(self, request: Request, reference: str, link_id: uuid.UUID) -> Response:
        """Revoke a link; it stops working at once."""
        subject = _require_link_permission(request, reference, "links:write")
        tracking_links.revoke(by=subject, now=clock.now(), reference=reference, link_id=link_id)
        return Response(status=204)


def _require_link_permission(request: Request, reference: str, permission: str) -> Subject:
    subject = subject_of(request)
    with not_found_unless_visible(subject, reference):
        subject.require(permission)
    return subject


def _link_json(link: TrackingLink) -> dict[str, Any]:
    return {
        "id": str(link.pk),
        "prefix": link.prefix,
        "createdAt": representation.instant(link.created_at),
        "expiresAt": representation.instant(link.expires_at),
        "revokedAt": representation.instant(link.revoked_at),
    }
