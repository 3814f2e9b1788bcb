"""The audit log: who did what, from where, and what it changed."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation
from shipments.api.authentication import subject_of
from shipments.api.lists import filters, pagination, parameters
from shipments.api.lists.pagination import Ordering
from shipments.api.openapi import schemas
from shipments.api.openapi.documentation import LINK, problem_responses
from shipments.parsing.query_parameters import Parameter
from shipments.selectors import audit
from shipments.selectors.lists import filters as selector_filters

ORDERS: Final = pagination.orderings(Ordering("at", "at"))
_PARAMETERS: Final[Mapping[str, Parameter]] = {
    **selector_filters.AUDIT_FILTERS,
    **parameters.paging(tuple(ORDERS), "-at"),
}


class AuditLogView(APIView):
    """The audit of the caller's organisation."""

    @extend_schema(
        operation_id="listAuditLog",
        parameters=[*parameters.openapi_parameters(_PARAMETERS), LINK],
        responses={200: schemas.AuditPage, **problem_responses(400)},
    )
    def get(self, request: Request) -> Response:
        """List what was done, newest first."""
        subject = subject_of(request)
        subject.require("audit:read")
        rows = audit.audit_entries(subject)
        query, page = filters.fetch_list(
            lambda: rows, request.GET, _PARAMETERS, ORDERS, representation.AUDIT_COLUMNS, default="-at"
        )
        results: list[dict[str, Any]] = [representation.audit_entry(row) for row in page.rows]
        return pagination.page_response(request, query, page, results)
