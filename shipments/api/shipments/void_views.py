"""The correction of an event: a command that was given, or an observation that was reported, by mistake."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from shipments import services
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import shipment_command
from shipments.api.openapi.documentation import ETAG, IDEMPOTENCY_PARAMETERS, REFERENCE, if_match, problem_responses
from shipments.api.shipments import schemas
from shipments.api.shipments.serializers import Voiding
from shipments.api.shipments.shipment_views import shipment_response

_SEQ = OpenApiParameter(
    "seq", OpenApiTypes.INT64, OpenApiParameter.PATH,
    description="`seq` of an event of the type `transitioned` or `observed`.",
)  # fmt: skip


class EventVoidView(APIView):
    """The correction of one command or observation."""

    @extend_schema(
        operation_id="voidEvent",
        request=Voiding,
        parameters=[REFERENCE, _SEQ, if_match(required=False), ETAG, *IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.Shipment, **problem_responses(404, 409, 412, body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request, reference: str, seq: int) -> HttpResponse:
        """Void an accepted command or an observation, with a reason: the status is what the others say.

        The event stays in the history; another of the type `voided` names it in `data.voided`. Voiding again
        changes nothing. Only events of the types `transitioned` and `observed` can be voided: 409 `not_voidable`.
        """
        arguments, voiding = shipment_command(request, reference, permission="shipments:write", body=Voiding)
        services.void_event(**arguments, **voiding, seq=seq)
        return shipment_response(arguments["by"], reference)
