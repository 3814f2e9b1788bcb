"""The audit log: who did what, when, from which address, and the values before and after."""

from typing import Final

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
from shipments.auth.subjects import AccountLevel, Forbidden, Subject
from shipments.selectors.lists import keyset, rendering
from shipments.selectors.lists.definitions import AUDIT_LOG, INSTALLATION_AUDIT_LOG
from shipments.selectors.lists.filters import INSTALLATION_SCOPE
from shipments.selectors.lists.parsing import parse_list_query
from shipments.selectors.lists.query import ListDefinition

# What is done to the whole installation and never to one organisation.
_INSTALLATION_ACTIONS: Final = frozenset({"limit_change"})


class AuditLogView(APIView):
    """The audit log of the caller's organisation; for staff also that of the installation."""

    @extend_schema(
        operation_id="listAuditLog",
        parameters=[*parameters.openapi_parameters(AUDIT_LOG.parameters), LINK],
        responses={200: schemas.AuditPage, **problem_responses(400, 403)},
    )
    def get(self, request: Request) -> HttpResponse:
        """List audit entries, newest first."""
        subject = subject_of(request)
        subject.require("audit:read")
        definition = _definition(subject, scope=request.GET.get("scope"), action=request.GET.get("action"))
        query = parse_list_query(definition, request.path, request.META["QUERY_STRING"], subject)
        page = rendering.render_rows(query, keyset.read_page(query), representation.audit_entry)
        return page_response(request, page)


def _definition(subject: Subject, *, scope: str | None, action: str | None) -> ListDefinition:
    """Return the list that the parameters ask for; raises Forbidden."""
    is_staff = subject.level >= AccountLevel.STAFF
    if scope == INSTALLATION_SCOPE and not is_staff:
        raise Forbidden("Only staff reads the audit log of the installation.")
    of_installation = scope == INSTALLATION_SCOPE or (scope is None and action in _INSTALLATION_ACTIONS)
    return INSTALLATION_AUDIT_LOG if is_staff and of_installation else AUDIT_LOG
