"""The audit log: who did what, from where, and what it changed."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation
from shipments.api import filters, pagination, parameters, shapes, texts
from shipments.api.authentication import subject_of
from shipments.api.documentation import LINK, problems
from shipments.api.pagination import Order
from shipments.api.parameters import IDENTIFIER, INSTANT, Parameter
from shipments.selectors import audit

ORDERS: Final = pagination.orders(Order("at", "at"))
_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "action": Parameter(
        texts.up_to(24),
        "What was done: login, update, export …",
        narrow=lambda rows, text: rows.filter(action=text),
    ),
    "actor": Parameter(
        texts.identifier, "Done by this user.", IDENTIFIER, lambda rows, key: rows.filter(actor_id=key)
    ),
    "entity": Parameter(
        texts.up_to(24), "Done to this kind of thing.", narrow=lambda rows, text: rows.filter(entity=text)
    ),
    "entityId": Parameter(
        texts.up_to(64), "Done to this thing.", narrow=lambda rows, text: rows.filter(entity_id=text)
    ),
    "from": Parameter(texts.instant, "At this time or later.", INSTANT, lambda rows, at: rows.filter(at__gte=at)),
    "to": Parameter(texts.instant, "Before this time.", INSTANT, lambda rows, at: rows.filter(at__lt=at)),
    **parameters.paging(tuple(ORDERS), "-at"),
}


class AuditLogView(APIView):
    """The audit of the caller's organisation."""

    @extend_schema(
        operation_id="listAuditLog",
        parameters=[*parameters.described(_PARAMETERS), LINK],
        responses={200: shapes.AuditPage, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """List what was done, newest first."""
        subject = subject_of(request)
        subject.require("audit:read")
        rows = audit.of(subject)
        query, page = filters.narrowed(
            rows, request.GET, _PARAMETERS, ORDERS, representation.AUDIT_COLUMNS, default="-at"
        )
        results: list[dict[str, Any]] = [representation.audit_entry(row) for row in page.rows]
        return pagination.answer(request, query, page, results)
