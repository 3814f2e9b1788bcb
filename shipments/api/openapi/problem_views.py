"""The explanations of problems, to which the `type` of every error leads."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring.problems.registry import PROBLEM_TYPES, ProblemType
from shipments.api.openapi import schemas
from shipments.api.openapi.documentation import public_problem_responses

_CACHEABLE: Final = {"Cache-Control": "public, max-age=3600"}


class _PublicView(APIView):
    """An endpoint for everybody; it ignores whatever credentials the request carries."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class ProblemTypesView(_PublicView):
    """Every kind of problem."""

    @extend_schema(
        operation_id="listProblemTypes", responses={200: schemas.ProblemTypeList, **public_problem_responses()}
    )
    def get(self, request: Request) -> Response:
        """List every code that an error may bear, with its meaning and what to do."""
        return Response({"results": [_json(each) for each in PROBLEM_TYPES.values()]}, headers=_CACHEABLE)


class ProblemTypeView(_PublicView):
    """One kind of problem."""

    @extend_schema(
        operation_id="getProblemType", responses={200: schemas.ProblemType, **public_problem_responses(404)}
    )
    def get(self, request: Request, code: str) -> Response:
        """Explain the problem to which the `type` of an error leads."""
        kind = PROBLEM_TYPES.get(code)
        if kind is None:
            raise NotFound("There is no such problem; `/api/problems` lists all.")
        return Response(_json(kind), headers=_CACHEABLE)


def _json(kind: ProblemType) -> dict[str, Any]:
    return {"type": kind.type} | kind._asdict()
