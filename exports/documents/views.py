"""GET /api/shipments/{reference}/documents/{kind}.pdf: documents of a shipment, each download audited."""

from typing import Any, Final, cast

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

from exports import response_schemas
from exports.documents import shipment_documents
from exports.reports.views import IgnoreClientContentNegotiation
from monitoring import clock
from shipments import intake
from shipments.auth.subjects import Subject
from shipments.domain.identifiers import is_valid_reference
from shipments.selectors import documents as selectors

_KIND: Final = OpenApiParameter(
    "kind", {"type": "string", "enum": list(shipment_documents.KINDS)}, OpenApiParameter.PATH,
    description="Bill of lading, shipping label (4 × 6 in), or proof of delivery.",
)  # fmt: skip
_REFERENCE: Final = OpenApiParameter(
    "reference", {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}, OpenApiParameter.PATH,
    description="The shipment's reference, whatever its case.",
)  # fmt: skip


class DocumentView(APIView):
    """One document of one shipment."""

    http_method_names = ["get", "options"]
    content_negotiation_class = IgnoreClientContentNegotiation

    @extend_schema(
        operation_id="getDocument",
        tags=["exports"],
        parameters=[_REFERENCE, _KIND],
        responses={
            (200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY, description="The document."),
            **cast("dict[Any, Any]", response_schemas.problem_responses(401, 403, 404, 429, 503)),
        },
    )
    def get(self, request: Request, reference: str, kind: str) -> HttpResponse:
        """Draw a document of a shipment; there is a proof of delivery once one was stored."""
        subject = cast("Subject", request.auth)  # ensured by IsMember
        subject.require("shipments:read")
        if kind not in shipment_documents.KINDS:
            raise Http404
        source = (
            selectors.document_shipment(subject, subject.variant, reference)
            if is_valid_reference(reference)
            else None
        )
        if source is None:
            raise NotFound("There is no such shipment.")
        canonical_reference = source.shipment["reference"]
        try:
            content = shipment_documents.render(source, kind, by=subject)
        except shipment_documents.ProofOfDeliveryMissing:
            raise NotFound(
                f"{canonical_reference} has no proof of delivery yet.", code="no_proof_of_delivery"
            ) from None
        intake.record_audit(
            by=subject, now=clock.now(), action="document", entity="shipment", entity_id=canonical_reference,
            after={"document": kind, "seq": source.shipment["seq"], "bytes": len(content)}, outcome="done",
        )  # fmt: skip
        headers = {
            "Content-Disposition": f'inline; filename="{canonical_reference}-{kind}.pdf"',
            "Cache-Control": "private, no-store",
        }
        return HttpResponse(content, content_type="application/pdf", headers=headers)
