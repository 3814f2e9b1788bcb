"""The audit log: who did what, when, from which address, and the values before and after."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from shipments import representation
from shipments.api.authentication import subject_of
from shipments.api.feed import schemas
from shipments.api.lists import parameters
from shipments.api.lists.responses import page_response
from shipments.api.openapi.documentation import LINK, problem_responses
from shipments.selectors.lists import keyset, rendering
from shipments.selectors.lists.definitions import AUDIT_LOG
from shipments.selectors.lists.parsing import parse_list_query


class AuditLogView(APIView):
    """The audit log of the caller's organisation."""

    @extend_schema(
        operation_id="listAuditLog",
        parameters=[*parameters.openapi_parameters(AUDIT_LOG.parameters), LINK],
        responses={200: schemas.AuditPage, **problem_responses(400)},
    )
    def get(self, request: Request) -> HttpResponse:
        """List audit entries, newest first."""
        subject = subject_of(request)
        subject.require("audit:read")
        query = parse_list_query(AUDIT_LOG, request.path, request.META["QUERY_STRING"], subject)
        page = rendering.render_rows(query, keyset.read_page(query), representation.audit_entry)
        return page_response(request, page)
